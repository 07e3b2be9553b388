#include "compiler/loops/program.h"
#include <fmt/format.h>
#include <limits>

namespace trellis {

static std::string place(const Program &p, int slot) {
  static constexpr const char *kKinds[] = {"arena", "input", "output", "state", "constant"};
  const ProgramSlot &s = p.slots[size_t(slot)];
  std::string out = kKinds[int(s.kind)];
  if (s.kind != ProgramSlot::Kind::arena) out += fmt::format("{}", s.index);
  if (s.kind == ProgramSlot::Kind::arena || s.offset) out += fmt::format(" + {}", s.offset);
  for (const ProgramSlot::Move &m : s.moves)
    out += fmt::format(" {} {} l{}", m.stride < 0 ? "-" : "+", std::abs(m.stride), m.loop);
  return out;
}

std::string print_calls(const Program &p) {
  std::string out;
  int depth = 0;
  auto line = [&](const std::string &text) { out += std::string(size_t(depth) * 2, ' ') + text + "\n"; };
  std::vector<int> ends(p.calls.size() + 1); // of branches: how many blocks end before each call
  for (size_t i = 0; i < p.calls.size(); ++i) {
    const ProgramCall &c = p.calls[i];
    for (; ends[i] > 0; --ends[i]) --depth;
    std::string args;
    for (int s : c.args) args += (args.empty() ? "" : ", ") + place(p, s);
    switch (c.kind) {
    case ProgramCall::Kind::kernel: line(fmt::format("call {}({})", c.name, args)); break;
    case ProgramCall::Kind::loop:
      line(c.trips == std::numeric_limits<int64_t>::max() ? fmt::format("loop l{}:", c.loop)
                                                          : fmt::format("loop l{} < {}:", c.loop, c.trips));
      ++depth;
      break;
    case ProgramCall::Kind::next: --depth; break;
    case ProgramCall::Kind::branch: {
      const ProgramCall &last = p.calls[size_t(c.target) - 1];
      if (last.kind == ProgramCall::Kind::next) { // leaves a loop
        line(fmt::format("leave unless {}", args));
        break;
      }
      line(fmt::format("if {}:", args));
      ++depth;
      break;
    }
    case ProgramCall::Kind::jump:
      --depth;
      line("else:");
      ++depth, ++ends[size_t(c.target)];
      break;
    }
  }
  return out;
}

} // namespace trellis
