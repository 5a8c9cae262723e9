# cmake -DSOURCE=... -DOUTPUT=... -P commit.cmake: writes the header only when the commit changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#pragma once\n#define SOFTSTEP_COMMIT \"${commit}\"\n" @ONLY)
