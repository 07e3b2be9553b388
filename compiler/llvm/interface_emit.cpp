#include "compiler/llvm/interface_emit.h"
#include "compiler/llvm/program_emit.h"
#include "ir/diag.h"
#include "runtime/trellis.h"
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

namespace trellis {

using namespace llvm;

namespace {

class InterfaceEmitter {
public:
  InterfaceEmitter(llvm::Module &m, const Program &p, const std::string &runtime_prefix)
      : m_(m), p_(p), prefix_(runtime_prefix), b_(m.getContext()), ptr_(b_.getPtrTy()), i32_(b_.getInt32Ty()),
        i64_(b_.getInt64Ty()),
        // trellis_tensor: data, dtype, rank, dims
        tensor_(StructType::get(ptr_, i32_, i32_, ptr_)) {
    TRELLIS_CHECK(m.getDataLayout().getTypeAllocSize(tensor_) == sizeof(trellis_tensor),
                  "trellis_tensor has another size than in C");
    table_ = new GlobalVariable(m_, b_.getInt8Ty(), true, GlobalValue::ExternalLinkage, nullptr, program_symbol(p_));
  }

  void run(std::span<const int> initial) {
    create(initial);
    start("destroy", b_.getVoidTy(), {ptr_});
    call("trellis_context_destroy", b_.getVoidTy(), {arg(0)});
    b_.CreateRetVoid();
    run_function();
    error();
    start("set_threads", i32_, {ptr_, i32_});
    b_.CreateRet(call("trellis_set_threads", i32_, {arg(0), arg(1)}));
    start("abi_version", i32_, {});
    b_.CreateRet(b_.getInt32(TRELLIS_API_MAJOR * 1000 + TRELLIS_API_MINOR));
    if (p_.states.empty()) return;
    access("set_state", "trellis_state_set");
    access("get_state", "trellis_state_get");
  }

private:
  void start(const std::string &name, llvm::Type *result, std::vector<llvm::Type *> types) {
    function_ = llvm::Function::Create(FunctionType::get(result, types, false), GlobalValue::ExternalLinkage,
                                       fmt::format("{}_{}", c_identifier(p_.name), name), m_);
    function_->addFnAttr(Attribute::NoUnwind);
    b_.SetInsertPoint(block("entry"));
  }
  BasicBlock *block(const char *name) { return BasicBlock::Create(m_.getContext(), name, function_); }
  llvm::Value *arg(unsigned i) { return function_->getArg(i); }
  llvm::Value *call(const char *name, llvm::Type *result, std::vector<llvm::Value *> args) {
    std::vector<llvm::Type *> types;
    for (llvm::Value *a : args) types.push_back(a->getType());
    return b_.CreateCall(m_.getOrInsertFunction(prefix_ + name, FunctionType::get(result, types, false)), args);
  }
  Constant *null() { return ConstantPointerNull::get(ptr_); }
  GlobalVariable *constant(Constant *value) {
    auto *g = new GlobalVariable(m_, value->getType(), true, GlobalValue::PrivateLinkage, value);
    g->setUnnamedAddr(GlobalValue::UnnamedAddr::Global);
    return g;
  }
  Constant *string(const std::string &s) { return constant(ConstantDataArray::getString(m_.getContext(), s)); }
  Constant *tensor(const ProgramTensor &t, Constant *data) {
    std::vector<int64_t> dims = dims_of(t.type.shape);
    std::vector<uint64_t> sizes(dims.begin(), dims.end());
    Constant *d = sizes.empty() ? null() : constant(ConstantDataArray::get(m_.getContext(), sizes));
    return ConstantStruct::get(tensor_,
                               {data, b_.getInt32(uint32_t(t.type.dtype)), b_.getInt32(uint32_t(t.type.rank())), d});
  }

  void create(std::span<const int> initial) {
    start("create", ptr_, {i32_});
    BasicBlock *failed = block("failed"), *rest;
    llvm::Value *made = b_.CreateAlloca(ptr_);
    auto go_on_if_ok = [&](llvm::Value *status) {
      b_.CreateCondBr(b_.CreateICmpEQ(status, b_.getInt32(TRELLIS_OK)), rest = block("ok"), failed);
      b_.SetInsertPoint(rest);
    };
    go_on_if_ok(call("trellis_context_create", i32_, {table_, arg(0), made, null(), b_.getInt64(0)}));
    llvm::Value *context = b_.CreateLoad(ptr_, made);
    for (int i : initial) {
      const ProgramTensor &t = p_.states[size_t(i)];
      auto *data = new GlobalVariable(m_, ArrayType::get(b_.getInt8Ty(), 0), true, GlobalValue::ExternalLinkage,
                                      nullptr, initial_symbol(p_, i));
      data->setVisibility(GlobalValue::HiddenVisibility);
      go_on_if_ok(call("trellis_state_set", i32_, {context, string(t.name), constant(tensor(t, data))}));
    }
    b_.CreateRet(context);
    b_.SetInsertPoint(failed); // the context is null if it could not be made
    call("trellis_context_destroy", b_.getVoidTy(), {b_.CreateLoad(ptr_, made)});
    b_.CreateRet(null());
  }

  void run_function() {
    size_t inputs = p_.inputs.size(), outputs = p_.outputs.size();
    start("run", i32_, std::vector<llvm::Type *>(1 + inputs + outputs, ptr_));
    unsigned next = 1;
    auto tensors = [&](const std::vector<ProgramTensor> &all) -> llvm::Value * {
      if (all.empty()) return null();
      auto *array = b_.CreateAlloca(ArrayType::get(tensor_, all.size()));
      for (size_t i = 0; i < all.size(); ++i) {
        llvm::Value *at = b_.CreateConstGEP1_64(tensor_, array, i);
        Constant *fixed = tensor(all[i], null()); // of a scalar f32 it is all zeros, no ConstantStruct
        b_.CreateStore(arg(next++), at);
        for (unsigned f = 1; f < 4; ++f)
          b_.CreateStore(fixed->getAggregateElement(f), b_.CreateStructGEP(tensor_, at, f));
      }
      return array;
    };
    llvm::Value *in = tensors(p_.inputs), *out = tensors(p_.outputs);
    b_.CreateRet(
        call("trellis_run", i32_, {arg(0), in, b_.getInt32(uint32_t(inputs)), out, b_.getInt32(uint32_t(outputs))}));
  }

  void error() {
    start("error", ptr_, {ptr_});
    BasicBlock *none = block("none"), *some = block("some");
    b_.CreateCondBr(b_.CreateIsNull(arg(0)), none, some);
    b_.SetInsertPoint(none);
    b_.CreateRet(string(fmt::format("{} could not be created: threads should be 1 to {}, and there must be memory for "
                                    "it ({} bytes of arena)",
                                    p_.name, TRELLIS_MAX_THREADS, p_.arena_bytes)));
    b_.SetInsertPoint(some);
    b_.CreateRet(call("trellis_last_error", ptr_, {arg(0)}));
  }

  // The tensor is built from the table; where there is no such state the runtime says so.
  void access(const char *name, const char *function) {
    start(name, i32_, {ptr_, ptr_, ptr_});
    BasicBlock *known = block("known"), *rest = block("rest");
    auto *given = b_.CreateAlloca(tensor_);
    b_.CreateStore(Constant::getNullValue(tensor_), given);
    b_.CreateStore(arg(2), given);
    llvm::Value *number = call("trellis_state_find", i32_, {table_, arg(1)});
    llvm::Value *info = call("trellis_state_info", ptr_, {table_, number});
    b_.CreateCondBr(b_.CreateIsNull(info), rest, known);
    b_.SetInsertPoint(known);
    auto copy = [&](llvm::Type *type, uint64_t from, unsigned to) {
      b_.CreateStore(b_.CreateLoad(type, b_.CreateConstGEP1_64(b_.getInt8Ty(), info, from)),
                     b_.CreateStructGEP(tensor_, given, to));
    };
    copy(i32_, offsetof(trellis_tensor_info, dtype), 1);
    copy(i32_, offsetof(trellis_tensor_info, rank), 2);
    copy(ptr_, offsetof(trellis_tensor_info, dims), 3);
    b_.CreateBr(rest);
    b_.SetInsertPoint(rest);
    b_.CreateRet(call(function, i32_, {arg(0), arg(1), given}));
  }

  llvm::Module &m_;
  const Program &p_;
  const std::string &prefix_;
  IRBuilder<> b_;
  PointerType *ptr_;
  IntegerType *i32_, *i64_;
  StructType *tensor_;
  GlobalVariable *table_;
  llvm::Function *function_ = nullptr;
};

} // namespace

void emit_interface(llvm::Module &m, const Program &p, std::span<const int> initial,
                    const std::string &runtime_prefix) {
  InterfaceEmitter(m, p, runtime_prefix).run(initial);
}

} // namespace trellis
