# Embeds the page of explain into ingot_api: page.{html,css,js} as raw strings of a generated source.
set(folder ${CMAKE_CURRENT_LIST_DIR})
foreach(part html css js)
  file(READ ${folder}/page.${part} page_${part})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/page.${part})
endforeach()
configure_file(${folder}/page.cc.in ${CMAKE_CURRENT_BINARY_DIR}/explain_page.cc @ONLY)
target_sources(ingot_api PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/explain_page.cc)
