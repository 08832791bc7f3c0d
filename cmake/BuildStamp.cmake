# cmake -DSOURCE=dir -DIN=file -DOUT=file.cpp -P BuildStamp.cmake
# Writes what results/build_info.hpp reports. The tree may be an unpacked archive, git may be missing, and the checkout
# may belong to another user: then the commit is "unknown", never the commit of some repository around it.
set(commit "unknown")
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)
  set(git ${GIT} -c safe.directory=* -C ${SOURCE})
  execute_process(COMMAND ${git} rev-parse --short=12 HEAD OUTPUT_VARIABLE head ERROR_QUIET RESULT_VARIABLE failed
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed AND head)
    set(commit "${head}")
    execute_process(COMMAND ${git} status --porcelain --untracked-files=normal OUTPUT_VARIABLE changes ERROR_QUIET)
    if(changes)
      string(APPEND commit "+dirty")
    endif()
  endif()
endif()

file(STRINGS ${IN} lines)
set(fields "")
foreach(line IN LISTS lines)
  if(line MATCHES "^([a-z_]+)=(.*)$")
    set(key "${CMAKE_MATCH_1}")
    string(STRIP "${CMAKE_MATCH_2}" value)
    string(REPLACE "\\" "\\\\" value "${value}")
    string(REPLACE "\"" "\\\"" value "${value}")
    string(APPEND fields "      .${key} = \"${value}\",\n")
  endif()
endforeach()

set(text "// Written by cmake/BuildStamp.cmake at every build in which something changed.
#include \"results/build_info.hpp\"

namespace greta::results {

const BuildInfo& build_info() {
  static const BuildInfo info{
${fields}      .commit = \"${commit}\",
  };
  return info;
}

}  // namespace greta::results
")
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
