# How .hip files are compiled on each platform: greta_hip_sources(files...) marks them in the calling folder (LANGUAGE is
# a source property of a folder), greta_hip_platform is the interface library with what they link and include.
#
# Every platform: contraction off, IEEE division and square root, subnormals kept, no fast math.
add_library(greta_hip_platform INTERFACE)

if(GRETA_PLATFORM STREQUAL "host")

  find_package(Boost 1.71 REQUIRED COMPONENTS context)
  target_link_libraries(greta_hip_platform INTERFACE Boost::context ${CMAKE_DL_LIBS})
  set(GRETA_HIP_LANGUAGE CXX)
  # -g1: line tables, so that a fault in a kernel is reported with its source line.
  set(GRETA_HIP_OPTIONS -DGRETA_HOST_EXECUTOR=1 -g1)

elseif(GRETA_PLATFORM STREQUAL "rocm")

  set(GRETA_HIP_ARCHITECTURES gfx942 CACHE STRING "targets of --offload-arch")
  find_path(GRETA_HIP_INCLUDE hip/hip_runtime.h HINTS ${GRETA_ROCM_ROOT}/include)
  find_library(GRETA_AMDHIP amdhip64 HINTS ${GRETA_ROCM_ROOT}/lib)
  if(NOT GRETA_HIP_INCLUDE OR NOT GRETA_AMDHIP)
    message(FATAL_ERROR "rocm: hip/hip_runtime.h or libamdhip64 not found in ${GRETA_ROCM_ROOT} or the system; install ROCm "
                        "or the package libamdhip64-dev.")
  endif()
  target_include_directories(greta_hip_platform SYSTEM INTERFACE ${GRETA_HIP_INCLUDE})
  target_compile_definitions(greta_hip_platform INTERFACE __HIP_PLATFORM_AMD__=1)
  target_link_libraries(greta_hip_platform INTERFACE ${GRETA_AMDHIP})

  set(GRETA_HIP_LANGUAGE CXX)
  set(GRETA_HIP_OPTIONS -x hip -ffp-contract=off -fhip-fp32-correctly-rounded-divide-sqrt)
  foreach(architecture ${GRETA_HIP_ARCHITECTURES})
    list(APPEND GRETA_HIP_OPTIONS --offload-arch=${architecture})
  endforeach()
  if(EXISTS ${GRETA_ROCM_ROOT}/amdgcn/bitcode OR EXISTS ${GRETA_ROCM_ROOT}/lib/llvm/lib/clang)
    list(APPEND GRETA_HIP_OPTIONS --rocm-path=${GRETA_ROCM_ROOT})
  else()
    include(GretaDeviceLibs)   # Debian's device libraries know no gfx942
    list(APPEND GRETA_HIP_OPTIONS --rocm-device-lib-path=${GRETA_DEVICE_LIBS})
  endif()

elseif(GRETA_PLATFORM STREQUAL "cuda")

  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(greta_hip_platform INTERFACE CUDA::cudart_static)
  target_include_directories(greta_hip_platform SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(greta_hip_platform INTERFACE GRETA_CUDA=1)
  target_compile_options(greta_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false -ftz=false -prec-div=true -prec-sqrt=true -Werror=all-warnings
      "SHELL:-Xcompiler -Wall,-Wextra,-Werror,-march=x86-64-v3,-ffp-contract=off,-fno-math-errno">)
  set(GRETA_HIP_LANGUAGE CUDA)
  set(GRETA_HIP_OPTIONS "")

endif()

# Marks the .hip files among the arguments with the language and options of the platform.
function(greta_hip_sources)
  set(sources ${ARGN})
  list(FILTER sources INCLUDE REGEX "\\.hip$")
  if(sources)
    set_source_files_properties(${sources} PROPERTIES LANGUAGE ${GRETA_HIP_LANGUAGE})
    if(GRETA_HIP_OPTIONS)
      set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${GRETA_HIP_OPTIONS}")
    endif()
  endif()
endfunction()
