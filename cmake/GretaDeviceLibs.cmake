# A folder of device libraries for gfx942 where no ROCm is installed: links to the bitcode of the package
# rocm-device-libs (Debian 12: 5.2.3) and the one file it lacks, the module that says which ISA the code is for
# (__oclc_ISA_version = 9402; the libraries branch on it). Sets GRETA_DEVICE_LIBS, or GRETA_DEVICE_LIBS_MISSING, a reason.
# GRETA_GFX942_COMPILER makes that file.
find_path(GRETA_BITCODE oclc_isa_version_940.bc PATH_SUFFIXES amdgcn/bitcode
          PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib/x86_64-linux-gnu /usr/lib)
set(GRETA_DEVICE_LIBS_MISSING "")
if(NOT GRETA_BITCODE)
  set(GRETA_DEVICE_LIBS_MISSING "no device libraries (amdgcn/bitcode/*.bc); install ROCm or the package rocm-device-libs")
  return()
endif()
set(GRETA_DEVICE_LIBS ${CMAKE_BINARY_DIR}/device_libs)
file(MAKE_DIRECTORY ${GRETA_DEVICE_LIBS})
file(GLOB bitcode ${GRETA_BITCODE}/*.bc)
foreach(file ${bitcode})
  get_filename_component(name ${file} NAME)
  file(CREATE_LINK ${file} ${GRETA_DEVICE_LIBS}/${name} SYMBOLIC)
endforeach()
set(isa ${GRETA_DEVICE_LIBS}/oclc_isa_version_942)
if(NOT EXISTS ${isa}.bc)
  # The data layout must be the compiler's own: it is asked for it.
  set(to_amdgpu ${GRETA_GFX942_COMPILER} --target=amdgcn-amd-amdhsa -nogpulib -emit-llvm)
  execute_process(COMMAND ${to_amdgpu} -x c /dev/null -S -o - OUTPUT_VARIABLE empty_module RESULT_VARIABLE result)
  string(REGEX MATCH "target datalayout = [^\n]*\ntarget triple = [^\n]*\n" header "${empty_module}")
  file(WRITE ${isa}.ll
    "${header}@__oclc_ISA_version = linkonce_odr protected local_unnamed_addr addrspace(4) constant i32 9402, align 4\n")
  if(result EQUAL 0)
    execute_process(COMMAND ${to_amdgpu} -x ir ${isa}.ll -c -o ${isa}.bc RESULT_VARIABLE result ERROR_VARIABLE error)
  endif()
  if(NOT result EQUAL 0)
    file(REMOVE ${isa}.bc)
    set(GRETA_DEVICE_LIBS_MISSING
      "${GRETA_GFX942_COMPILER} could not make ${isa}.bc; is its AMDGPU target built in? ${error}")
  endif()
endif()
