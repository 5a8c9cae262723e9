#include "plot_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "interrupt.h"
#include "softstep/error.h"

extern char** environ;

namespace softstep::program {

namespace fs = std::filesystem;

namespace {

// What tools/plot ends with when matplotlib cannot be imported.
constexpr int exit_no_matplotlib = 3;

// The script of this installation, or else that of the source tree from which the program was built.
std::string find_script() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path bin = self.parent_path();
  for (const fs::path& candidate :
       {bin / ".." / SOFTSTEP_DATA_DIR / "softstep" / "plot", fs::path(SOFTSTEP_PLOT_SCRIPT)})
    if (fs::is_regular_file(candidate, error)) return candidate.lexically_normal().string();
  return "";
}

// Exit code of the program, 127 if there is no such program.
int run(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0) return 127;
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

void remove_pictures(const std::string& directory, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    for (const char* ending : {".svg", ".png"}) {
      // Not joined by fs::path, which this standard library leaves damaged where memory runs out.
      const std::string path = (directory.ends_with('/') ? directory : directory + '/') + name + ending;
      if (std::remove(path.c_str()) != 0 && errno != ENOENT)
        throw IoError(path,
                      std::string("cannot be removed, and shows an older run: ") + std::strerror(errno));
    }
}

std::string draw_plots(const std::string& directory) {
  const std::string script = find_script();
  if (script.empty()) return "the script that draws the plots is not there (share/softstep/plot)";
  std::vector<std::string> pythons;
  if (const char* named = std::getenv("SOFTSTEP_PYTHON"); named != nullptr && *named != '\0')
    pythons.emplace_back(named);
  pythons.emplace_back("python3");
  pythons.emplace_back("/usr/bin/python3");
  for (const std::string& python : pythons) {
    const int code = run({python, script, directory});
    if (code == 0) return "";
    if (interrupted()) return "interrupted";
    if (code != 127 && code != exit_no_matplotlib)
      return fmt::format("{} failed with exit code {}", script, code);
  }
  return "no Python that can import matplotlib (set SOFTSTEP_PYTHON to one, or use --no-plots)";
}

}  // namespace softstep::program
