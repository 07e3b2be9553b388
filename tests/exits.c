/* exits STATUS COMMAND...: succeeds if the command exits with that very status. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return fputs("usage: exits STATUS COMMAND...\n", stderr), 2;
  pid_t child = fork();
  if (child < 0) return perror("fork"), 1;
  if (child == 0) {
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) < 0) return perror("waitpid"), 1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == atoi(argv[1])) return 0;
  if (WIFSIGNALED(status))
    fprintf(stderr, "exits: killed by signal %d, status %s expected\n", WTERMSIG(status), argv[1]);
  else
    fprintf(stderr, "exits: status %d, %s expected\n", WEXITSTATUS(status), argv[1]);
  return 1;
}
