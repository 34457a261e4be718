// Strings, branches and system instructions of 64-bit mode, see samples.ts.
import { ax, byte, dword, eax, mem, qword, r11, r12, rax, rbx, rdi, rsi } from "../../src/index.ts";
import type { Sample } from "./sample.ts";

export const SAMPLES_64_SYSTEM: readonly Sample[] = [
  [
    "rep; movsb",
    (a) => {
      a.rep();
      a.movsb();
    },
  ],
  [
    "rep; movsd",
    (a) => {
      a.rep();
      a.movsd();
    },
  ],
  [
    "rep; stosq",
    (a) => {
      a.rep();
      a.stosq();
    },
  ],
  ["stosb", (a) => a.stosb()],
  ["stosw", (a) => a.stosw()],
  ["stosd", (a) => a.stosd()],
  ["movsq", (a) => a.movsq()],
  ["movsw", (a) => a.movsw()],
  ["lodsb", (a) => a.lodsb()],
  ["lodsw", (a) => a.lodsw()],
  ["lodsd", (a) => a.lodsd()],
  ["lodsq", (a) => a.lodsq()],
  [
    "repe; cmpsb",
    (a) => {
      a.repe();
      a.cmpsb();
    },
  ],
  [
    "repne; scasb",
    (a) => {
      a.repne();
      a.scasb();
    },
  ],
  [
    "rep; insb",
    (a) => {
      a.rep();
      a.insb();
    },
  ],
  [
    "rep; outsb",
    (a) => {
      a.rep();
      a.outsb();
    },
  ],
  [
    "rep; insd",
    (a) => {
      a.rep();
      a.insd();
    },
  ],
  [
    "rep; outsw",
    (a) => {
      a.rep();
      a.outsw();
    },
  ],
  ["cld", (a) => a.cld()],
  ["std", (a) => a.std()],
  [
    "1: {disp32} jmp 1b",
    (a) => {
      a.label("b");
      a.jmp("b");
    },
  ],
  [
    "1: {disp32} jne 1b",
    (a) => {
      a.label("b");
      a.jne("b");
    },
  ],
  [
    "1: {disp32} jle 1f; nop; 1:",
    (a) => {
      a.jle("f");
      a.nop();
      a.label("f");
    },
  ],
  [
    "1: {disp8} jmp 1b",
    (a) => {
      a.label("b");
      a.jmps("b");
    },
  ],
  [
    "1: loop 1b",
    (a) => {
      a.label("b");
      a.loop("b");
    },
  ],
  [
    "1: call 1b",
    (a) => {
      a.label("b");
      a.call("b");
    },
  ],
  ["call rax", (a) => a.call(rax)],
  ["call qword ptr [r12+8]", (a) => a.call(qword(r12, 8))],
  ["jmp r11", (a) => a.jmp(r11)],
  ["jmp qword ptr [rbx]", (a) => a.jmp(qword(rbx))],
  [
    "1: lea rsi, [rip+1b]",
    (a) => {
      a.label("b");
      a.lea(rsi, mem("b"));
    },
  ],
  [
    "1: mov dword ptr [rip+1b+4], 7",
    (a) => {
      a.label("b");
      a.mov(dword("b", 4), 7);
    },
  ],
  [
    "1: cmp byte ptr [rip+1f], 7; 1:",
    (a) => {
      a.cmp(byte("f"), 7);
      a.label("f");
    },
  ],
  ["ret", (a) => a.ret()],
  ["ret 8", (a) => a.ret(8)],
  ["retfq", (a) => a.retfq()],
  ["int3", (a) => a.int3()],
  ["int 0x80", (a) => a.int(0x80)],
  ["iretq", (a) => a.iretq()],
  ["syscall", (a) => a.syscall()],
  ["swapgs", (a) => a.swapgs()],
  ["ud2", (a) => a.ud2()],
  ["cli", (a) => a.cli()],
  ["sti", (a) => a.sti()],
  ["hlt", (a) => a.hlt()],
  ["nop", (a) => a.nop()],
  ["pause", (a) => a.pause()],
  ["lgdt [rbx]", (a) => a.lgdt(mem(rbx))],
  ["ltr ax", (a) => a.ltr(ax)],
  ["lmsw ax", (a) => a.lmsw(ax)],
  ["invlpg [rdi]", (a) => a.invlpg(mem(rdi))],
  ["clts", (a) => a.clts()],
  ["wbinvd", (a) => a.wbinvd()],
  ["rdmsr", (a) => a.rdmsr()],
  ["wrmsr", (a) => a.wrmsr()],
  ["rdtsc", (a) => a.rdtsc()],
  ["cpuid", (a) => a.cpuid()],
  ["vmcall", (a) => a.vmcall()],
  ["mfence", (a) => a.mfence()],
  ["lfence", (a) => a.lfence()],
  ["sfence", (a) => a.sfence()],
  [
    "gs; mov eax, dword ptr [rbx]",
    (a) => {
      a.gs();
      a.mov(eax, mem(rbx));
    },
  ],
];
