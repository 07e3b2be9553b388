// The executor of compiled code.
#pragma once
#include "compiler/compile.h"
#include "frontend_session.h"

namespace trellis::testing {

/// Compiles a graph when it is first met; later calls with it run the same program.
class CompiledExecutor {
public:
  explicit CompiledExecutor(int threads = 1) : threads_(threads) {}
  std::vector<Tensor> operator()(const Graph &g, const std::vector<Tensor> &inputs, std::vector<Tensor> *next) {
    std::shared_ptr<Session> &session = (*sessions_)[&g];
    if (!session) session = std::make_shared<Session>(compile(g), threads_);
    std::vector<Tensor> data;
    for (size_t i = 0; i < inputs.size(); ++i) {
      Value v = g.inputs()[i];
      if (role_of(v) == "data")
        data.push_back(inputs[i]);
      else
        session->set_state(std::string(name_of_input(v)), inputs[i]);
    }
    std::vector<Tensor> outputs = session->run(data);
    if (next)
      for (const Update &u : g.updates) next->push_back(session->state(std::string(name_of_input(u.state))));
    return outputs;
  }

private:
  int threads_;
  std::shared_ptr<std::map<const Graph *, std::shared_ptr<Session>>> sessions_ =
      std::make_shared<std::map<const Graph *, std::shared_ptr<Session>>>();
};

} // namespace trellis::testing
