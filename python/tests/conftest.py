"""Property tests try the same cases in every run, so that a lane turns red for a change alone; SOFTSTEP_FUZZ_MINUTES looks for new cases."""

import os

from hypothesis import settings

settings.register_profile("same cases", derandomize=True)
if float(os.environ.get("SOFTSTEP_FUZZ_MINUTES", "0")) == 0:
    settings.load_profile("same cases")
