#pragma once

bool options_are_good();
