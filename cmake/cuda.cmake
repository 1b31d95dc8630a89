# Finds the CUDA compiler. Sets INGOT_HAS_CUDA; without a compiler everything else builds.
#
# Newer devices than those that INGOT_CUDA_ARCHITECTURES names run its intermediate code, which must be of 9.0 or later:
# what kernels may do on a device is decided by the device, from 9.0 on.

set(INGOT_HAS_CUDA OFF)
string(TOLOWER "${INGOT_CUDA}" INGOT_CUDA)
if(NOT INGOT_CUDA MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "INGOT_CUDA: expected auto, on or off, found '${INGOT_CUDA}'")
endif()
if(NOT INGOT_CUDA STREQUAL "off")
  find_program(INGOT_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
  if(INGOT_NVCC)
    set(CMAKE_CUDA_COMPILER ${INGOT_NVCC})
    set(CMAKE_CUDA_ARCHITECTURES ${INGOT_CUDA_ARCHITECTURES})
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)  # the driver is opened when the program runs
    if(CCACHE)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
    endif()
    enable_language(CUDA)
    # CMake 3.25 does not know that nvcc has C++20, which targets ask for as in C++.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    find_package(CUDAToolkit REQUIRED)
    set(INGOT_HAS_CUDA ON)
  elseif(INGOT_CUDA STREQUAL "on")
    message(FATAL_ERROR "INGOT_CUDA is on, but nvcc is not found (looked in PATH, CUDA_PATH, CUDA_HOME, /usr/local/cuda)")
  endif()
endif()
message(STATUS "CUDA backend: ${INGOT_HAS_CUDA}")
