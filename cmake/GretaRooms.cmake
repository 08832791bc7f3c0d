# Flags and helpers shared by every room. A room is one library and one GoogleTest binary, both from globs, so that a new
# file needs no edit here.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)

# Warnings are errors with the compilers that CI runs; another version may warn of something new, and must still build.
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.") OR
   (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION MATCHES "^19\\."))
  set(werror_default ON)
else()
  set(werror_default OFF)
endif()
option(GRETA_WERROR "warnings are errors" ${werror_default})

# Bits must agree between platforms: contraction off, no fast math, FMA hardware for explicit fmaf (x86-64-v3).
add_library(greta_flags INTERFACE)
target_include_directories(greta_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(greta_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -march=x86-64-v3 -ffp-contract=off -fno-fast-math -fno-math-errno>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 warns of overlapping copies in "text" + std::string, where there are none (GCC bug 105651).
  target_compile_options(greta_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(GRETA_WERROR)
  target_compile_options(greta_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
target_compile_definitions(greta_flags INTERFACE GRETA_PLATFORM_NAME="${GRETA_PLATFORM}")
target_link_libraries(greta_flags INTERFACE Threads::Threads)
if(GRETA_ASAN)
  # Not the rooms of the program itself and of its results (GRETA_PLAIN): they take most of the compiler's time and hardly
  # touch device memory. Compiled as for preset host, they come from ccache where that has been built.
  # -Wno-maybe-uninitialized: g++ 12 sees uninitialised members in std::function inside std::regex when it instruments
  # (GCC bug 105562).
  foreach(option -O1 -g1 -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=all
                 -fno-omit-frame-pointer)
    target_compile_options(greta_flags INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:GRETA_PLAIN>>>:${option}>)
  endforeach()
  target_link_options(greta_flags INTERFACE -fsanitize=address,undefined)
endif()

# greta_room(name [LIBS ...]): library greta_<name> from *.cpp of the current folder, without *_test.cpp, main.cpp, *_main.cpp.
function(greta_room name)
  cmake_parse_arguments(ARG "" "" "LIBS;SOURCES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  list(FILTER sources EXCLUDE REGEX "(_test|_main|/main)\\.cpp$")
  list(APPEND sources ${ARG_SOURCES})
  if(sources)
    add_library(greta_${name} STATIC ${sources})
    target_link_libraries(greta_${name} PUBLIC greta_flags fmt::fmt ${ARG_LIBS})
  else()
    add_library(greta_${name} INTERFACE)
    target_link_libraries(greta_${name} INTERFACE greta_flags fmt::fmt ${ARG_LIBS})
  endif()
endfunction()

# greta_room_tests(name [COMPUTES] [LIBS ...]): binary <name>_test from *_test.cpp of the current folder (and SOURCES),
# known to CTest. COMPUTES: the tests themselves compute much; optimising others is a fifth of their compiler's time for
# nothing.
function(greta_room_tests name)
  cmake_parse_arguments(ARG "COMPUTES" "" "LIBS;SOURCES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *_test.cpp)
  list(APPEND sources ${ARG_SOURCES})
  if(sources)
    find_package(GTest REQUIRED)
    add_executable(${name}_test ${sources})
    target_link_libraries(${name}_test PRIVATE ${ARG_LIBS} greta_flags GTest::gtest GTest::gtest_main)
    target_compile_options(${name}_test PRIVATE $<$<COMPILE_LANGUAGE:CXX>:$<IF:$<BOOL:${ARG_COMPUTES}>,-O1,-O0>>)
    target_compile_definitions(${name}_test PRIVATE GRETA_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
endfunction()
