/// A file-size limit as an error of the write.
#pragma once
#include <cerrno>
#include <csignal>
#include <ctime>

namespace trellis {

/// Beyond the file size limit the kernel raises SIGXFSZ, whose default ends the process without a word.
/// Holds it back in this thread, so that write fails with EFBIG, and takes it if it came.
class FileSizeSignalHeld {
public:
  FileSizeSignalHeld() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~FileSizeSignalHeld() {
    if (sigismember(&before_, SIGXFSZ)) return;
    int error = errno;
    const timespec now{};
    while (sigtimedwait(&set_, nullptr, &now) < 0 && errno == EINTR) {}
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = error;
  }

private:
  sigset_t set_, before_;
};

} // namespace trellis
