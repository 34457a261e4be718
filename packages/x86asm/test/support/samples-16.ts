// Instructions of 16-bit mode, see samples.ts.
import {
  al,
  ax,
  bp,
  bx,
  byte,
  cr0,
  cr4,
  cx,
  di,
  ds,
  dx,
  eax,
  ebp,
  ebx,
  ecx,
  edi,
  edx,
  es,
  esi,
  esp,
  mem,
  si,
  sp,
  word,
} from "../../src/index.ts";
import type { Sample } from "./sample.ts";

export const SAMPLES_16: readonly Sample[] = [
  ["mov ax, bx", (a) => a.mov(ax, bx)],
  ["mov eax, ebx", (a) => a.mov(eax, ebx)],
  ["mov dx, 0x3f8", (a) => a.mov(dx, 0x3f8)],
  ["mov esi, 0x12345678", (a) => a.mov(esi, 0x12345678)],
  ["mov al, byte ptr [0x1100]", (a) => a.mov(al, mem(0x1100))],
  ["mov byte ptr [0x1100], al", (a) => a.mov(mem(0x1100), al)],
  ["mov eax, dword ptr [0x1100]", (a) => a.mov(eax, mem(0x1100))],
  ["mov word ptr [0x1100], ax", (a) => a.mov(mem(0x1100), ax)],
  ["mov byte ptr [0x8000], 0x42", (a) => a.mov(byte(0x8000), 0x42)],
  ["mov cx, word ptr [0xfffe]", (a) => a.mov(cx, mem(0xfffe))],
  ["mov al, byte ptr [bx+si]", (a) => a.mov(al, mem(bx, 0, si))],
  ["mov ax, word ptr [bp+di-2]", (a) => a.mov(ax, mem(bp, -2, di))],
  ["mov word ptr [bp], ax", (a) => a.mov(mem(bp), ax)],
  ["mov word ptr [di+0x100], ax", (a) => a.mov(mem(di, 0x100), ax)],
  ["mov ecx, dword ptr [si+4]", (a) => a.mov(ecx, mem(si, 4))],
  ["mov al, byte ptr [ebx]", (a) => a.mov(al, mem(ebx))],
  ["mov eax, dword ptr [esp+ecx*4+8]", (a) => a.mov(eax, mem(esp, 8, ecx, 4))],
  ["mov dword ptr [ebp], eax", (a) => a.mov(mem(ebp), eax)],
  [
    "es; mov al, byte ptr [di]",
    (a) => {
      a.es();
      a.mov(al, mem(di));
    },
  ],
  ["mov ds, ax", (a) => a.mov(ds, ax)],
  ["mov word ptr [bx], es", (a) => a.mov(word(bx), es)],
  ["mov eax, cr0", (a) => a.mov(eax, cr0)],
  ["mov cr4, edx", (a) => a.mov(cr4, edx)],
  ["add sp, 4", (a) => a.add(sp, 4)],
  ["add eax, 0x12345678", (a) => a.add(eax, 0x12345678)],
  ["or al, 1", (a) => a.or(al, 1)],
  ["cmp ax, 0x1234", (a) => a.cmp(ax, 0x1234)],
  ["inc cx", (a) => a.inc(cx)],
  ["dec edi", (a) => a.dec(edi)],
  ["inc word ptr [bx]", (a) => a.inc(word(bx))],
  ["push ax", (a) => a.push(ax)],
  ["push ebx", (a) => a.push(ebx)],
  ["push 0x1234", (a) => a.push(0x1234)],
  ["push 4", (a) => a.push(4)],
  ["pop edx", (a) => a.pop(edx)],
  ["pop word ptr [bx]", (a) => a.pop(word(bx))],
  ["pushf", (a) => a.pushf()],
  ["movzx eax, byte ptr [bx]", (a) => a.movzx(eax, byte(bx))],
  ["lea si, [bx+2]", (a) => a.lea(si, mem(bx, 2))],
  ["shl ax, 4", (a) => a.shl(ax, 4)],
  ["xchg word ptr [bx], cx", (a) => a.xchg(mem(bx), cx)],
  ["in al, dx", (a) => a.in(al, dx)],
  ["in ax, dx", (a) => a.in(ax, dx)],
  ["in eax, dx", (a) => a.in(eax, dx)],
  ["out 0x80, eax", (a) => a.out(0x80, eax)],
  ["out dx, ax", (a) => a.out(dx, ax)],
  [
    "rep; insb",
    (a) => {
      a.rep();
      a.insb();
    },
  ],
  [
    "rep; outsw",
    (a) => {
      a.rep();
      a.outsw();
    },
  ],
  [
    "rep; insd",
    (a) => {
      a.rep();
      a.insd();
    },
  ],
  ["stosw", (a) => a.stosw()],
  ["stosd", (a) => a.stosd()],
  [
    "1: {disp16} jmp 1b",
    (a) => {
      a.label("b");
      a.jmp("b");
    },
  ],
  [
    "1: .skip 200; jc 1b",
    (a) => {
      a.label("b");
      a.space(200);
      a.jc("b");
    },
  ],
  [
    "jne 1f; .skip 200; 1:",
    (a) => {
      a.jne("f");
      a.space(200);
      a.label("f");
    },
  ],
  [
    "1: call 1b",
    (a) => {
      a.label("b");
      a.call("b");
    },
  ],
  ["jmp bx", (a) => a.jmp(bx)],
  ["call word ptr [bx]", (a) => a.call(word(bx))],
  ["ret", (a) => a.ret()],
  ["iret", (a) => a.iret()],
  ["cli", (a) => a.cli()],
  ["hlt", (a) => a.hlt()],
  ["lidt [0x100]", (a) => a.lidt(mem(0x100))],
  ["lidtd [0x100]", (a) => a.lidtl(mem(0x100))],
  ["lgdtd [bx]", (a) => a.lgdtl(mem(bx))],
  [".att_syntax; ljmpl $0x8, $0x12345678", (a) => a.ljmp(0x12345678, 0x8)],
  ["pause", (a) => a.pause()],
  ["wrmsr", (a) => a.wrmsr()],

  ["insw", (a) => a.insw()],
  ["outsd", (a) => a.outsd()],
  ["iretd", (a) => a.iretd()],
  [
    "cs; mov al, byte ptr [bx]",
    (a) => {
      a.cs();
      a.mov(al, mem(bx));
    },
  ],
  [
    "ds; mov al, byte ptr [bp]",
    (a) => {
      a.ds();
      a.mov(al, mem(bp));
    },
  ],
  [
    "ss; mov al, byte ptr [bx]",
    (a) => {
      a.ss();
      a.mov(al, mem(bx));
    },
  ],
  [
    "fs; mov al, byte ptr [bx]",
    (a) => {
      a.fs();
      a.mov(al, mem(bx));
    },
  ],
];
