// What stands behind the handles of trellis_compiler.h, and the border that no exception crosses.
#pragma once
#include "compiler/api/trellis_compiler.h"
#include "compiler/frontend/model_file.h"
#include "compiler/frontend/programs.h"
#include "compiler/frontend/scaling.h"
#include <atomic>
#include <deque>
#include <new>
#include <optional>
#include <string>
#include <vector>

namespace trellis::api {

/// A mistake of the caller's with its status.
struct Refused {
  trellis_status status;
  std::string text;
};

/// One of the lists that a model tells, and the memory that its entries point into.
struct List {
  std::vector<trellis_value_info> infos;
  std::deque<std::string> texts;
  std::deque<std::vector<int64_t>> dims;
  std::deque<std::vector<const char *>> symbols;
  /// No type: neither dtype nor rank is known (-1).
  void add(std::string_view name, const std::optional<Type> &type);
};

/// Fills `text` and gives the status of whatever `body` throws; `otherwise` is that of a CompileError.
template <class Body> trellis_status guarded(std::string &text, trellis_status otherwise, Body body) noexcept {
  try {
    try {
      text.clear();
      body();
      return TRELLIS_OK;
    } catch (const Refused &r) {
      text = r.text;
      return r.status;
    } catch (const CompileError &e) {
      text = e.what();
      return otherwise;
    } catch (const std::bad_alloc &) {
      text = "out of memory";
      return TRELLIS_OUT_OF_MEMORY;
    } catch (const std::exception &e) {
      text = e.what();
      return TRELLIS_FAILED;
    }
  } catch (...) { // no memory for the text
    return TRELLIS_OUT_OF_MEMORY;
  }
}

/// Copies a message into a caller's buffer, cut off where it does not fit.
void tell(const std::string &text, char *error, size_t error_bytes) noexcept;

inline void require(const void *pointer, const char *what) {
  if (!pointer) throw Refused{TRELLIS_BAD_POINTER, std::string(what) + " is null"};
}

/// The type that a caller's tensor claims to have; `what` names it in messages.
Type checked_type(const trellis_tensor &t, const std::string &what);

/// Refuses numbers that are no form, and training that was not set.
ProgramForm checked_form(const trellis_model &m, trellis_form form);

} // namespace trellis::api

struct trellis_model {
  explicit trellis_model(trellis::Model model);

  trellis::Model model;
  trellis::Programs programs;
  trellis::Bindings dims;                  ///< bound by the caller
  bool training = false;                   ///< set_training was called
  std::string optimiser;                   ///< as it was given
  std::optional<trellis::Scaling> scaling; ///< of the samples, by the weights that were loaded from `scaled_by`
  std::string scaled_by;
  std::string text;                 ///< of the graph
  trellis::api::List lists[4];      ///< by trellis_list
  std::vector<std::string> symbols; ///< names of symbolic dims
  /// Outputs that nobody asked for go here, by program.
  std::map<const trellis::Programs::Program *, std::vector<trellis::Tensor>> scratch;
  std::string error;
  std::atomic<bool> busy = false;

  /// Makes all programs anew, of the model with its scaling, and gives them these values.
  void restart(std::vector<trellis::NamedTensor> values);
  /// Fills lists, symbols and text.
  void describe();
  /// Replaces options and drops what was compiled.
  void set_options(trellis::Programs::Options options);
  /// Gives every parameter and state that has none yet its initial value.
  void begin_values();
};

namespace trellis::api {

/// One call on a model: refuses null and a second call at the same time.
template <class Body> trellis_status call(trellis_model *m, trellis_status otherwise, Body body) noexcept {
  if (!m) return TRELLIS_BAD_POINTER;
  if (m->busy.exchange(true, std::memory_order_acquire)) return TRELLIS_BUSY;
  trellis_status status = guarded(m->error, otherwise, body);
  m->busy.store(false, std::memory_order_release);
  return status;
}

/// A new model, or null and a message.
template <class Make>
trellis_status create(trellis_model **model, char *error, size_t error_bytes, Make make) noexcept {
  if (model) *model = nullptr;
  std::string text;
  trellis_status status = guarded(text, TRELLIS_BAD_MODEL, [&] {
    require(model, "the pointer to the model");
    *model = new trellis_model(make());
  });
  tell(text, error, error_bytes);
  return status;
}

} // namespace trellis::api
