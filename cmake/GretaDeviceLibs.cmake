# A folder of device libraries for gfx942 where no ROCm is installed: links to the bitcode of the package
# rocm-device-libs (Debian 12: 5.2.3) and the one file it lacks, the module that says which ISA the code is for
# (__oclc_ISA_version = 9402; the libraries branch on it). Sets GRETA_DEVICE_LIBS.
find_path(GRETA_BITCODE oclc_isa_version_940.bc PATH_SUFFIXES amdgcn/bitcode
          PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib/x86_64-linux-gnu /usr/lib)
if(NOT GRETA_BITCODE)
  message(FATAL_ERROR "rocm: no device libraries (amdgcn/bitcode/*.bc); install ROCm or the package rocm-device-libs.")
endif()
get_filename_component(clang_folder ${CMAKE_CXX_COMPILER} REALPATH)
get_filename_component(clang_folder ${clang_folder} DIRECTORY)
string(REGEX MATCH "^[0-9]+" clang_major ${CMAKE_CXX_COMPILER_VERSION})
find_program(GRETA_LLVM_AS NAMES llvm-as-${clang_major} llvm-as HINTS ${clang_folder})
if(NOT GRETA_LLVM_AS)
  message(FATAL_ERROR "rocm: llvm-as-${clang_major} not found; install the package llvm-${clang_major}.")
endif()

set(GRETA_DEVICE_LIBS ${CMAKE_BINARY_DIR}/device_libs)
file(MAKE_DIRECTORY ${GRETA_DEVICE_LIBS})
file(GLOB bitcode ${GRETA_BITCODE}/*.bc)
foreach(file ${bitcode})
  get_filename_component(name ${file} NAME)
  file(CREATE_LINK ${file} ${GRETA_DEVICE_LIBS}/${name} SYMBOLIC)
endforeach()
if(NOT EXISTS ${GRETA_BITCODE}/oclc_isa_version_942.bc AND NOT EXISTS ${GRETA_DEVICE_LIBS}/oclc_isa_version_942.bc)
  file(WRITE ${GRETA_DEVICE_LIBS}/oclc_isa_version_942.ll
    "target triple = \"amdgcn-amd-amdhsa\"\n"
    "@__oclc_ISA_version = linkonce_odr protected local_unnamed_addr addrspace(4) constant i32 9402, align 4\n")
  execute_process(COMMAND ${GRETA_LLVM_AS} ${GRETA_DEVICE_LIBS}/oclc_isa_version_942.ll
                          -o ${GRETA_DEVICE_LIBS}/oclc_isa_version_942.bc
                  RESULT_VARIABLE result ERROR_VARIABLE error)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "rocm: ${GRETA_LLVM_AS} could not make oclc_isa_version_942.bc: ${error}")
  endif()
endif()
