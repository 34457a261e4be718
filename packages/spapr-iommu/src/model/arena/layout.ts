// The bytes of a TCE arena: everything that a hypercall on a TCE touches, flat in one buffer, so that code outside of
// JavaScript (real mode: kvm/real-mode, in WebAssembly) reads and writes the very same bytes.
// Units are 32-bit words, host (little) endian. A pointer is a word index from the arena's start; 0 is "none".
// A 64-bit number is two words, low then high: one i64 at 8-byte alignment. Records are multiples of 8 bytes.
// Offsets below are words from the record's start; names in brackets are the kernel's.
//
//   HEADER    at 0: magic, version, log2 of the host page; then 24 words that are always 0 (a record of nothing)
//   VM        one VM's view [kvm->arch]: tables, memory slots, regions, counters
//   GUEST     a guest's table [kvmppc_spapr_tce_table]: LIOBN, geometry, pages of entries, attached hardware tables
//   LINK      one attached hardware table [kvmppc_spapr_tce_iommu_table], newest first
//   HARDWARE  a hardware table [iommu_table]: geometry, tree of entries
//   REGION    registered memory [mm_iommu_table_group_mem_t]: user range, host pages, mapped count
//   SLOT      guest pages -> user address [kvm_memory_slot]
//
// GUEST.PAGES points to GUEST.PAGE_COUNT pointers, one for each host page of entries; 0: never written, all zeros.
// HARDWARE.ROOT is a leaf when DEPTH is 0, else a directory of 2^DIRECTORY_SHIFT pointers (fewer in the topmost) over
// DEPTH levels. A leaf has 2^LEAF_SHIFT hardware entries, then as many user addresses, 8 bytes each.
// A hardware entry is host physical page | TCE_PCI_WRITE | TCE_PCI_READ.

export const ARENA_MAGIC = 0x41454354;
export const ARENA_VERSION = 2;

export const HEADER = { MAGIC: 0, VERSION: 1, PAGE_SHIFT: 2, NOTHING: 8, SIZE: 32 } as const;

export const VM = {
  /** First GUEST record. */
  TABLES: 0,
  /** SLOT records side by side, and how many. */
  SLOTS: 1,
  SLOT_COUNT: 2,
  /** Pointer to the word that points to the first REGION of the VM's address space. */
  REGIONS: 3,
  /** 64-bit counters, see counters.ts. */
  COUNTERS: 4,
  /** Hypercalls that are switched on: bit n for place n in KINDS. */
  ENABLED: 4 + 2 * 96,
  /** 1 once somebody was told that a hardware table could not be updated. */
  WARNED: 5 + 2 * 96,
  SIZE: 6 + 2 * 96,
} as const;

export const GUEST = {
  NEXT: 0,
  PAGE_SHIFT: 1,
  LIOBN: 2,
  /** First and number of entries. */
  OFFSET: 4,
  ENTRIES: 6,
  PAGES: 8,
  PAGE_COUNT: 9,
  LINKS: 10,
  SIZE: 12,
} as const;

export const LINK = { NEXT: 0, HARDWARE: 1, SIZE: 2 } as const;

export const HARDWARE = {
  PAGE_SHIFT: 0,
  FLAGS: 1,
  /** Number of the first entry (bus address >> PAGE_SHIFT) and number of entries. */
  OFFSET: 2,
  ENTRIES: 4,
  DEPTH: 6,
  ROOT: 7,
  /** Entries whose permission bits are not 0. */
  LIVE: 8,
  SIZE: 10,
} as const;
/** HARDWARE.FLAGS: WRITE sets READ too. */
export const HARDWARE_WRITE_IMPLIES_READ = 1;
/** HARDWARE.FLAGS: the user view exists; before, nothing may be mapped by a hypercall. */
export const HARDWARE_USER_VIEW = 2;
/** HARDWARE.FLAGS: some entries do not take updates; only the model knows which. */
export const HARDWARE_REFUSES = 8;
/** HARDWARE.FLAGS: the entries are another table's now; only the model knows whose, calls on it are H_TOO_HARD elsewhere. */
export const HARDWARE_FORWARDED = 4;

export const LEAF_SHIFT = 13;
export const LEAF_ENTRIES: number = 1 << LEAF_SHIFT;
/** Words of a leaf; the user addresses begin in its middle. */
export const LEAF_WORDS: number = LEAF_ENTRIES * 4;
export const LEAF_USER: number = LEAF_ENTRIES * 2;
export const DIRECTORY_SHIFT = 13;

export const REGION = {
  NEXT: 0,
  /** log2 of the largest IOMMU page that the region can back. */
  PAGE_SHIFT: 1,
  /** User addresses: first, and first behind. */
  START: 2,
  END: 4,
  /** 1 plus the entries that point into the region; 0 while it goes. */
  MAPPED: 6,
  /** Registrations. */
  USED: 7,
  /** Host physical addresses, 8 bytes for each host page, and their number. */
  PAGES: 8,
  PAGE_COUNT: 9,
  SIZE: 10,
} as const;

export const SLOT = {
  /** First guest page and number of pages, in host pages. */
  PAGE: 0,
  PAGES: 2,
  USER: 4,
  SIZE: 6,
} as const;
