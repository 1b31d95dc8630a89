# Compile options shared by every target, and one function per kind of target.

add_library(ingot_options INTERFACE)
target_compile_options(ingot_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion>
  # Bit-identical results for every batch and thread count need every multiply-add to be written out:
  # the compiler may not fuse or reorder on its own.
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
  # What nvcc generates breaks -Wpedantic and -Wconversion.
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>
  $<$<COMPILE_LANGUAGE:CUDA>:-lineinfo>)  # sanitizers and profilers then name lines; no cost at run time
target_include_directories(ingot_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
if(INGOT_WERROR)
  target_compile_options(ingot_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                         $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()
if(INGOT_SANITIZE)
  target_compile_options(ingot_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${INGOT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(ingot_options INTERFACE -fsanitize=${INGOT_SANITIZE})
endif()
if(INGOT_FUZZERS)
  target_compile_options(ingot_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)  # coverage of the libraries
  target_link_options(ingot_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# ingot_library(folder DEPENDS targets...): the library `ingot_<folder>` of every .cc file below src/<folder>.
# The folder's own CMakeLists.txt calls it, so a new file needs no edit.
function(ingot_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  if(ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${ARG_EXCLUDE}")
  endif()
  string(REPLACE "/" "_" target ingot_${name})
  add_library(${target} STATIC ${sources})
  target_link_libraries(${target} PUBLIC ingot_options ${ARG_DEPENDS})
endfunction()

# ingot_tests(folder TIER label DEPENDS targets...): one test program of every .cc file in tests/<folder>.
function(ingot_tests name)
  cmake_parse_arguments(ARG "" "TIER" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  string(REPLACE "/" "_" target test_${name})
  add_executable(${target} ${sources})
  target_link_libraries(${target} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest_main)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${target} PRIVATE INGOT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS ${ARG_TIER} TIMEOUT 600)
endfunction()
