#include "compiler/llvm/table_emit.h"
#include "ir/diag.h"
#include "runtime/program.h"
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

namespace trellis {

using namespace llvm;

static_assert(int(DType::f32) == TRELLIS_F32 && int(DType::bf16) == TRELLIS_BF16 && int(DType::i64) == TRELLIS_I64 &&
              int(DType::boolean) == TRELLIS_BOOL);
static_assert(int(ProgramSlot::Kind::arena) == TRELLIS_SLOT_ARENA &&
              int(ProgramSlot::Kind::input) == TRELLIS_SLOT_INPUT &&
              int(ProgramSlot::Kind::output) == TRELLIS_SLOT_OUTPUT &&
              int(ProgramSlot::Kind::state) == TRELLIS_SLOT_STATE &&
              int(ProgramSlot::Kind::constant) == TRELLIS_SLOT_CONSTANT);
static_assert(int(ProgramCall::Kind::kernel) == TRELLIS_CALL_KERNEL &&
              int(ProgramCall::Kind::loop) == TRELLIS_CALL_LOOP && int(ProgramCall::Kind::next) == TRELLIS_CALL_NEXT &&
              int(ProgramCall::Kind::branch) == TRELLIS_CALL_BRANCH &&
              int(ProgramCall::Kind::jump) == TRELLIS_CALL_JUMP);

namespace {

// LLVM lays out structs as C does, so fields follow runtime/program.h in order and padding comes by itself;
// the sizes are compared below.
class TableEmitter {
public:
  TableEmitter(llvm::Module &m, const Program &p)
      : m_(m), p_(p), c_(m.getContext()), i32_(IntegerType::getInt32Ty(c_)), i64_(IntegerType::getInt64Ty(c_)),
        ptr_(PointerType::getUnqual(c_)) {}

  GlobalVariable *run(const std::string &symbol, const std::vector<KernelCode> &kernels,
                      const std::vector<std::string> &constants) {
    std::vector<Constant *> data;
    for (const std::string &s : constants) data.push_back(external(s, ArrayType::get(IntegerType::getInt8Ty(c_), 0)));
    auto *kernel_type = FunctionType::get(llvm::Type::getVoidTy(c_), {ptr_, i64_, i64_}, false);
    std::vector<Constant *> functions;
    for (const KernelCode &k : kernels) {
      auto *f = cast<llvm::Function>(m_.getOrInsertFunction(k.symbol, kernel_type).getCallee());
      f->setVisibility(GlobalValue::HiddenVisibility);
      functions.push_back(f);
    }
    std::vector<Constant *> slots, calls, checks, moves;
    for (size_t i = 0; i < p_.slots.size(); ++i) {
      const ProgramSlot &s = p_.slots[i];
      slots.push_back(
          record(sizeof(trellis_slot), {int32(int(s.kind)), int32(s.index), int64(s.offset), int64(s.bytes)}));
      for (const ProgramSlot::Move &m : s.moves)
        moves.push_back(record(sizeof(trellis_move), {int32(int64_t(i)), int32(m.loop), int64(m.stride)}));
    }
    for (const ProgramCall &call : p_.calls) {
      std::vector<Constant *> args;
      Constant *function = ConstantPointerNull::get(ptr_);
      int64_t trip = call.trips;
      if (call.kind == ProgramCall::Kind::kernel) {
        for (int a : kernels[size_t(call.kernel)].args) args.push_back(int32(call.args[size_t(a)]));
        function = functions[size_t(call.kernel)], trip = p_.kernels[size_t(call.kernel)].trip();
      } else
        for (int a : call.args) args.push_back(int32(a));
      calls.push_back(
          record(sizeof(trellis_call), {function, string(call.name), array(args), int32(int64_t(args.size())),
                                        int64(trip), int64(std::max<int64_t>(call.grain, 1)), int32(int(call.kind)),
                                        int32(call.loop), int32(call.target), int32(0)}));
    }
    for (const ProgramIndexCheck &check : p_.index_checks)
      checks.push_back(record(sizeof(trellis_index_check), {int32(check.input), int64(check.low), int64(check.high)}));

    auto *table = record(sizeof(trellis_program), {int32(TRELLIS_PROGRAM_VERSION),
                                                   int32(0),
                                                   string(p_.name),
                                                   infos(p_.inputs),
                                                   infos(p_.outputs),
                                                   infos(p_.states),
                                                   infos(p_.constants),
                                                   count(p_.inputs),
                                                   count(p_.outputs),
                                                   count(p_.states),
                                                   count(p_.constants),
                                                   array(data),
                                                   array(slots),
                                                   count(slots),
                                                   array(calls),
                                                   count(calls),
                                                   array(checks),
                                                   array(moves),
                                                   count(checks),
                                                   count(moves),
                                                   int32(p_.loops),
                                                   int64((p_.arena_bytes + 63) / 64 * 64)});
    return new GlobalVariable(m_, table->getType(), true, GlobalValue::ExternalLinkage, table, symbol);
  }

private:
  Constant *int32(int64_t v) { return ConstantInt::get(i32_, uint64_t(v), true); }
  Constant *int64(int64_t v) { return ConstantInt::get(i64_, uint64_t(v), true); }
  template <class T> Constant *count(const std::vector<T> &v) { return int32(int64_t(v.size())); }

  Constant *record(size_t bytes, ArrayRef<Constant *> fields) {
    Constant *s = ConstantStruct::getAnon(fields);
    TRELLIS_CHECK(m_.getDataLayout().getTypeAllocSize(s->getType()) == bytes,
                  "a record of the table has another size than in C");
    return s;
  }
  GlobalVariable *global(Constant *value, Align align) {
    auto *g = new GlobalVariable(m_, value->getType(), true, GlobalValue::PrivateLinkage, value);
    g->setUnnamedAddr(GlobalValue::UnnamedAddr::Global);
    g->setAlignment(align);
    return g;
  }
  Constant *array(ArrayRef<Constant *> items) {
    if (items.empty()) return ConstantPointerNull::get(ptr_);
    return global(ConstantArray::get(ArrayType::get(items[0]->getType(), items.size()), items), Align(8));
  }
  Constant *string(const std::string &s) {
    auto [it, fresh] = strings_.try_emplace(s, nullptr);
    if (fresh) it->second = global(ConstantDataArray::getString(c_, s), Align(1));
    return it->second;
  }
  Constant *external(const std::string &symbol, llvm::Type *type) {
    auto *g = new GlobalVariable(m_, type, true, GlobalValue::ExternalLinkage, nullptr, symbol);
    g->setVisibility(GlobalValue::HiddenVisibility);
    g->setAlignment(Align(64));
    return g;
  }

  Constant *info(const ProgramTensor &t, bool physical) {
    std::vector<int64_t> dims = dims_of(t.type.shape);
    std::vector<Constant *> sizes, terms;
    for (int64_t d : dims) sizes.push_back(int64(d));
    bool packed = physical && !t.layout.is_row_major(dims);
    if (packed)
      for (const LayoutTerm &l : t.layout.terms)
        terms.push_back(
            record(sizeof(trellis_layout_term), {int32(l.dim), int32(0), int64(l.div), int64(l.mod), int64(l.stride)}));
    int64_t bytes = packed ? t.layout.size * size_of(t.type.dtype) : t.type.bytes();
    return record(sizeof(trellis_tensor_info),
                  {string(t.name), int32(int(t.type.dtype)), int32(t.type.rank()), array(sizes), int64(bytes),
                   array(terms), count(terms), int32(t.trained)});
  }
  Constant *infos(const std::vector<ProgramTensor> &all) {
    std::vector<Constant *> records;
    bool physical = &all == &p_.states || &all == &p_.constants;
    for (const ProgramTensor &t : all) records.push_back(info(t, physical));
    return array(records);
  }

  llvm::Module &m_;
  const Program &p_;
  LLVMContext &c_;
  IntegerType *i32_, *i64_;
  PointerType *ptr_;
  std::unordered_map<std::string, Constant *> strings_;
};

} // namespace

GlobalVariable *emit_table(llvm::Module &m, const Program &p, const std::string &symbol,
                           const std::vector<KernelCode> &kernels, const std::vector<std::string> &constants) {
  return TableEmitter(m, p).run(symbol, kernels, constants);
}

} // namespace trellis
