#include "compiler/llvm/data_object.h"
#include <llvm/BinaryFormat/ELF.h>
#include <llvm/TargetParser/Triple.h>

namespace trellis {

using namespace llvm::ELF;

namespace {
constexpr uint64_t kAlign = 64;
uint64_t round_up(uint64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

/// A string table that grows.
struct Strings {
  std::string bytes = std::string(1, '\0');
  uint32_t add(const std::string &s) {
    uint32_t at = uint32_t(bytes.size());
    bytes.append(s.c_str(), s.size() + 1);
    return at;
  }
};
} // namespace

// Order in the file: header, data, symbols, their names, sections' names, section headers.
void write_data_object(const Target &t, std::span<const DataSymbol> symbols,
                       const std::function<void(const void *, size_t)> &write) {
  bool x86 = llvm::Triple(t.triple).isX86();
  Strings names, sections;
  std::vector<Elf64_Sym> table(1, Elf64_Sym{});
  uint64_t data_bytes = 0;
  for (const DataSymbol &s : symbols) {
    Elf64_Sym e{};
    e.st_name = names.add(s.name);
    e.setBindingAndType(STB_GLOBAL, STT_OBJECT);
    e.st_other = STV_HIDDEN;
    e.st_shndx = 1;
    e.st_value = data_bytes;
    e.st_size = s.bytes;
    table.push_back(e);
    data_bytes = round_up(data_bytes + s.bytes);
  }

  std::vector<Elf64_Shdr> headers(1, Elf64_Shdr{});
  uint64_t at = round_up(sizeof(Elf64_Ehdr));
  auto section = [&](const char *name, uint32_t type, uint64_t flags, uint64_t bytes, uint64_t align) -> Elf64_Shdr & {
    Elf64_Shdr h{};
    h.sh_name = sections.add(name);
    h.sh_type = type, h.sh_flags = flags, h.sh_offset = at, h.sh_size = bytes, h.sh_addralign = align;
    at += bytes;
    headers.push_back(h);
    return headers.back();
  };
  // A large section of x86-64 lies apart, so that code reaches all else whatever the size of the weights.
  if (x86)
    section(".lrodata", SHT_PROGBITS, SHF_ALLOC | SHF_X86_64_LARGE, data_bytes, kAlign);
  else
    section(".rodata", SHT_PROGBITS, SHF_ALLOC, data_bytes, kAlign);
  Elf64_Shdr &symtab = section(".symtab", SHT_SYMTAB, 0, table.size() * sizeof(Elf64_Sym), 8);
  symtab.sh_link = 3, symtab.sh_info = 1, symtab.sh_entsize = sizeof(Elf64_Sym);
  section(".strtab", SHT_STRTAB, 0, names.bytes.size(), 1);
  section(".note.GNU-stack", SHT_PROGBITS, 0, 0, 1);
  uint32_t own_name = sections.add(".shstrtab");
  Elf64_Shdr last{};
  last.sh_name = own_name, last.sh_type = SHT_STRTAB, last.sh_offset = at, last.sh_size = sections.bytes.size(),
  last.sh_addralign = 1;
  headers.push_back(last);
  at += last.sh_size;
  uint64_t pad = round_up(at) - at;

  Elf64_Ehdr file{};
  std::copy_n(ElfMagic, 4, file.e_ident);
  file.e_ident[EI_CLASS] = ELFCLASS64, file.e_ident[EI_DATA] = ELFDATA2LSB, file.e_ident[EI_VERSION] = EV_CURRENT;
  file.e_type = ET_REL, file.e_machine = x86 ? EM_X86_64 : EM_AARCH64, file.e_version = EV_CURRENT;
  file.e_ehsize = sizeof file, file.e_shentsize = sizeof(Elf64_Shdr);
  file.e_shoff = at + pad, file.e_shnum = uint16_t(headers.size()), file.e_shstrndx = uint16_t(headers.size() - 1);

  static constexpr char kZeros[kAlign] = {};
  write(&file, sizeof file);
  write(kZeros, round_up(sizeof file) - sizeof file);
  for (const DataSymbol &s : symbols) {
    write(s.data, s.bytes);
    write(kZeros, round_up(s.bytes) - s.bytes);
  }
  write(table.data(), table.size() * sizeof(Elf64_Sym));
  write(names.bytes.data(), names.bytes.size());
  write(sections.bytes.data(), sections.bytes.size());
  write(kZeros, pad);
  write(headers.data(), headers.size() * sizeof(Elf64_Shdr));
}

} // namespace trellis
