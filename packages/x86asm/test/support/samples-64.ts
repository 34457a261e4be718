// Instructions of 64-bit mode, see samples.ts.
import {
  ah,
  al,
  ax,
  bh,
  bl,
  byte,
  cl,
  cr0,
  cr2,
  cr3,
  cr4,
  cr8,
  cx,
  dil,
  ds,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  es,
  mem,
  qword,
  r8,
  r8b,
  r8d,
  r9,
  r9w,
  r10,
  r11,
  r12,
  r13,
  r14,
  r15,
  r15b,
  rax,
  rbp,
  rbx,
  rcx,
  rdi,
  rdx,
  rsi,
  rsp,
  sil,
  ss,
  word,
} from "../../src/index.ts";
import type { Sample } from "./sample.ts";

export const SAMPLES_64: readonly Sample[] = [
  ["mov eax, ebx", (a) => a.mov(eax, ebx)],
  ["mov r8b, r15b", (a) => a.mov(r8b, r15b)],
  ["mov sil, al", (a) => a.mov(sil, al)],
  ["mov ah, bh", (a) => a.mov(ah, bh)],
  ["mov r9w, ax", (a) => a.mov(r9w, ax)],
  ["mov r15, rax", (a) => a.mov(r15, rax)],
  ["mov al, 0x5a", (a) => a.mov(al, 0x5a)],
  ["mov r8b, -1", (a) => a.mov(r8b, -1)],
  ["mov ax, 0x1234", (a) => a.mov(ax, 0x1234)],
  ["mov edi, 0xfee00000", (a) => a.mov(edi, 0xfee00000)],
  ["mov rax, 5", (a) => a.mov(rax, 5)],
  ["mov rdi, -2", (a) => a.mov(rdi, -2)],
  ["mov rbx, 0xfee00000", (a) => a.mov(rbx, 0xfee00000)],
  ["movabs r10, 0x123456789abcdef0", (a) => a.movabs(r10, 0x123456789abcdef0n)],
  ["movabs rax, 5", (a) => a.movabs(rax, 5)],
  ["mov byte ptr [rbx], 5", (a) => a.mov(byte(rbx), 5)],
  ["mov word ptr [rbp], 0x1234", (a) => a.mov(word(rbp), 0x1234)],
  ["mov dword ptr [rsp+8], 0xdeadbeef", (a) => a.mov(dword(rsp, 8), 0xdeadbeef)],
  ["mov qword ptr [r12], -1", (a) => a.mov(qword(r12), -1)],
  ["mov qword ptr [r13], 0x1000", (a) => a.mov(qword(r13), 0x1000)],
  ["mov al, byte ptr [rdi]", (a) => a.mov(al, mem(rdi))],
  ["mov word ptr [rsi-2], cx", (a) => a.mov(mem(rsi, -2), cx)],
  ["mov edx, dword ptr [r8+0x80]", (a) => a.mov(edx, mem(r8, 0x80))],
  ["mov qword ptr [rax+rcx*8+16], r11", (a) => a.mov(mem(rax, 16, rcx, 8), r11)],
  ["mov r14, qword ptr [r13+r15*2]", (a) => a.mov(r14, mem(r13, 0, r15, 2))],
  ["mov eax, dword ptr [rcx*4+0x100]", (a) => a.mov(eax, mem(0x100, 0, rcx, 4))],
  ["mov eax, dword ptr [0x1000]", (a) => a.mov(eax, mem(0x1000))],
  ["mov dword ptr [0x7ffffff0], ecx", (a) => a.mov(mem(0x7ffffff0), ecx)],
  ["mov eax, dword ptr [ebx+4]", (a) => a.mov(eax, mem(ebx, 4))],
  ["movabs al, byte ptr [0xfee00020fee00020]", (a) => a.movabs(al, mem(0xfee00020fee00020n))],
  ["movabs eax, dword ptr [0xfee00020]", (a) => a.movabs(eax, mem(0xfee00020))],
  ["movabs dword ptr [0xfec00010], eax", (a) => a.movabs(mem(0xfec00010), eax)],
  ["movabs rax, qword ptr [0x10000000000]", (a) => a.movabs(rax, mem(0x10000000000))],
  ["mov ds, ax", (a) => a.mov(ds, ax)],
  ["mov ss, word ptr [rbx]", (a) => a.mov(ss, mem(rbx))],
  ["mov ax, es", (a) => a.mov(ax, es)],
  ["mov cr3, rax", (a) => a.mov(cr3, rax)],
  ["mov r12, cr0", (a) => a.mov(r12, cr0)],
  ["mov cr8, rcx", (a) => a.mov(cr8, rcx)],
  ["mov rdx, cr2", (a) => a.mov(rdx, cr2)],
  ["mov cr4, r8", (a) => a.mov(cr4, r8)],
  ["movzx eax, byte ptr [rsi]", (a) => a.movzx(eax, byte(rsi))],
  ["movzx rcx, dil", (a) => a.movzx(rcx, dil)],
  ["movzx r8d, word ptr [rbx+2]", (a) => a.movzx(r8d, word(rbx, 2))],
  ["movzx ax, bl", (a) => a.movzx(ax, bl)],
  ["movsx rax, ax", (a) => a.movsx(rax, ax)],
  ["movsx edx, byte ptr [r9]", (a) => a.movsx(edx, byte(r9))],
  ["movsxd rdx, dword ptr [rbx]", (a) => a.movsxd(rdx, dword(rbx))],
  ["movnti dword ptr [rdi], eax", (a) => a.movnti(mem(rdi), eax)],
  ["movnti qword ptr [rdi+8], r8", (a) => a.movnti(mem(rdi, 8), r8)],
  ["lea rax, [rbx+rcx*4-8]", (a) => a.lea(rax, mem(rbx, -8, rcx, 4))],
  ["lea edi, [r12+1]", (a) => a.lea(edi, mem(r12, 1))],
  ["push rbp", (a) => a.push(rbp)],
  ["push r12", (a) => a.push(r12)],
  ["push ax", (a) => a.push(ax)],
  ["push 0x10", (a) => a.push(0x10)],
  ["push 0x12345678", (a) => a.push(0x12345678)],
  ["push qword ptr [rbx]", (a) => a.push(qword(rbx))],
  ["pop r15", (a) => a.pop(r15)],
  ["pop qword ptr [rsp+8]", (a) => a.pop(qword(rsp, 8))],
  ["pushfq", (a) => a.pushf()],
  ["popfq", (a) => a.popf()],
  ["in al, 0x60", (a) => a.in(al, 0x60)],
  ["in ax, dx", (a) => a.in(ax, dx)],
  ["in eax, 0xf8", (a) => a.in(eax, 0xf8)],
  ["in eax, dx", (a) => a.in(eax, dx)],
  ["out 0x80, al", (a) => a.out(0x80, al)],
  ["out 0xf4, ax", (a) => a.out(0xf4, ax)],
  ["out dx, al", (a) => a.out(dx, al)],
  ["out dx, eax", (a) => a.out(dx, eax)],
  ["add al, 5", (a) => a.add(al, 5)],
  ["add eax, 5", (a) => a.add(eax, 5)],
  ["add eax, 0x1234", (a) => a.add(eax, 0x1234)],
  ["add rbx, -128", (a) => a.add(rbx, -128)],
  ["add rbx, 0x12345678", (a) => a.add(rbx, 0x12345678)],
  ["add cx, 0xffff", (a) => a.add(cx, 0xffff)],
  ["adc byte ptr [rdi], 1", (a) => a.adc(byte(rdi), 1)],
  ["sub qword ptr [rdi], 1", (a) => a.sub(qword(rdi), 1)],
  ["sbb r8, r9", (a) => a.sbb(r8, r9)],
  ["and dword ptr [rbx+4], ecx", (a) => a.and(mem(rbx, 4), ecx)],
  ["and eax, 0xfffffffe", (a) => a.and(eax, 0xfffffffe)],
  ["or eax, 0x80000001", (a) => a.or(eax, 0x80000001)],
  ["xor r12, r12", (a) => a.xor(r12, r12)],
  ["cmp byte ptr [rsi], 0", (a) => a.cmp(byte(rsi), 0)],
  ["cmp r10, qword ptr [r11]", (a) => a.cmp(r10, mem(r11))],
  ["cmp ax, 0x1000", (a) => a.cmp(ax, 0x1000)],
  ["test al, 1", (a) => a.test(al, 1)],
  ["test eax, 0x100", (a) => a.test(eax, 0x100)],
  ["test rcx, rcx", (a) => a.test(rcx, rcx)],
  ["test byte ptr [rbx], 0x20", (a) => a.test(byte(rbx), 0x20)],
  ["test dword ptr [rbx], edx", (a) => a.test(edx, mem(rbx))],
  ["not rax", (a) => a.not(rax)],
  ["neg byte ptr [rdi]", (a) => a.neg(byte(rdi))],
  ["mul rcx", (a) => a.mul(rcx)],
  ["div ecx", (a) => a.div(ecx)],
  ["idiv r9w", (a) => a.idiv(r9w)],
  ["imul bl", (a) => a.imul(bl)],
  ["imul eax, ebx", (a) => a.imul(eax, ebx)],
  ["imul rax, rbx, 10", (a) => a.imul(rax, rbx, 10)],
  ["imul ecx, dword ptr [rsi], 1000", (a) => a.imul(ecx, mem(rsi), 1000)],
  ["inc rax", (a) => a.inc(rax)],
  ["inc dword ptr [rdi+0x100]", (a) => a.inc(dword(rdi, 0x100))],
  ["dec cl", (a) => a.dec(cl)],
  ["shl eax, 1", (a) => a.shl(eax, 1)],
  ["shl rax, 32", (a) => a.shl(rax, 32)],
  ["shr rdx, cl", (a) => a.shr(rdx, cl)],
  ["sar word ptr [rbx], 4", (a) => a.sar(word(rbx), 4)],
  ["rol al, 3", (a) => a.rol(al, 3)],
  ["ror r8d, 1", (a) => a.ror(r8d, 1)],
  ["bt eax, 8", (a) => a.bt(eax, 8)],
  ["bts qword ptr [rdi], rax", (a) => a.bts(mem(rdi), rax)],
  ["btr ecx, edx", (a) => a.btr(ecx, edx)],
  ["btc rax, 63", (a) => a.btc(rax, 63)],
  ["bsf eax, ebx", (a) => a.bsf(eax, ebx)],
  ["bsr rax, qword ptr [rsi]", (a) => a.bsr(rax, mem(rsi))],
  ["bswap r10", (a) => a.bswap(r10)],
  ["bswap eax", (a) => a.bswap(eax)],
  [
    "lock; xadd dword ptr [rdi], eax",
    (a) => {
      a.lock();
      a.xadd(mem(rdi), eax);
    },
  ],
  [
    "lock; cmpxchg qword ptr [rdi], rbx",
    (a) => {
      a.lock();
      a.cmpxchg(mem(rdi), rbx);
    },
  ],
  [
    "lock; inc dword ptr [rdi]",
    (a) => {
      a.lock();
      a.inc(dword(rdi));
    },
  ],
  ["xchg byte ptr [rdi], al", (a) => a.xchg(mem(rdi), al)],
  ["xchg rbx, rcx", (a) => a.xchg(rbx, rcx)],
  ["clc", (a) => a.clc()],
  ["stc", (a) => a.stc()],
  ["cmovne rax, rbx", (a) => a.cmovne(rax, rbx)],
  ["cmovb ecx, dword ptr [rdi]", (a) => a.cmovb(ecx, mem(rdi))],
  ["sete al", (a) => a.sete(al)],
  ["setnbe byte ptr [rdi]", (a) => a.seta(byte(rdi))],
  ["setl r8b", (a) => a.setl(r8b)],
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
