include(CMakePackageConfigHelpers)

# Components of the installation, which become packages (cmake/packages.cmake): library (a shared one alone), development, program.
# Without a component everything is installed.
install(TARGETS softstep EXPORT softstep
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT library)
install(DIRECTORY core/include/softstep DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h")

# find_package(softstep). Before 1.0 every minor version may change the interface.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/softstep)
get_target_property(type softstep TYPE)
string(COMPARE EQUAL "${type}" "STATIC_LIBRARY" SOFTSTEP_IS_STATIC)
install(EXPORT softstep NAMESPACE softstep:: FILE softstepTargets.cmake DESTINATION ${package_dir}
        COMPONENT development)
# What a project in C adds to a static library of C++.
set(SOFTSTEP_C_LIBRARIES stdc++ gomp pthread m)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(SOFTSTEP_C_LIBRARIES stdc++ omp pthread m)
endif()
configure_package_config_file(cmake/softstepConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/softstepConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/softstepConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/softstepConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/softstepConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT development)

# pkg-config, by paths relative to the file itself: `cmake --install --prefix` may choose another place than configure.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(softstep_pc_prefix "../..")
  set(softstep_pc_libdir ${CMAKE_INSTALL_LIBDIR})
else()
  file(RELATIVE_PATH softstep_pc_prefix /p/${pc_dir} /p)
  string(REGEX REPLACE "/$" "" softstep_pc_prefix ${softstep_pc_prefix})
  set(softstep_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(softstep_pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
else()
  set(softstep_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
# A static library leaves OpenMP to its user, with or without `pkg-config --static`.
if(SOFTSTEP_IS_STATIC)
  set(softstep_pc_libs " ${OpenMP_CXX_FLAGS}")
  set(softstep_pc_private_libs "")
else()
  set(softstep_pc_libs "")
  set(softstep_pc_private_libs "${OpenMP_CXX_FLAGS}")
endif()
configure_file(cmake/softstep.pc.in ${CMAKE_CURRENT_BINARY_DIR}/softstep.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/softstep.pc DESTINATION ${pc_dir} COMPONENT development)
if(SOFTSTEP_MPI)
  configure_file(cmake/softstep_mpi.pc.in ${CMAKE_CURRENT_BINARY_DIR}/softstep_mpi.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/softstep_mpi.pc DESTINATION ${pc_dir} COMPONENT development)
endif()

# The manual page and the completions of the program.
if(SOFTSTEP_BUILD_TOOLS)
  configure_file(packaging/softstep.1.in ${CMAKE_CURRENT_BINARY_DIR}/softstep.1 @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/softstep.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
  install(FILES packaging/completions/softstep.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME softstep COMPONENT program)
  install(FILES packaging/completions/_softstep DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT program)
  install(FILES packaging/completions/softstep.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
          COMPONENT program)
endif()

# The README of the sources speaks of what stays there; this one links only to what is beside it.
# The formulas stay out: they point into the sources.
set(manuals docs/command-line.md docs/datasets.md docs/mpi.md docs/neighbours.md docs/reliability.md)
set(softstep_texts development)
if(SOFTSTEP_BUILD_TOOLS)
  set(softstep_texts program)
endif()
install(FILES ${manuals} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs COMPONENT ${softstep_texts})
install(FILES docs/installed/README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT ${softstep_texts})
