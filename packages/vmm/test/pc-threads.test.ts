// What the threads of a machine pc share and say to one another: letters between CPUs, how a run ends, timers of a thread
// that is in the guest, and errors that cross from thread to thread.
import { Worker } from "node:worker_threads";
import { EFAULT, EINVAL, MinivmmError } from "@minivmm/host";
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KvmError,
} from "@minivmm/kvm";
import { VfioError } from "@minivmm/vfio-core";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEnd } from "../src/accel/accelerator.ts";
import { packError, unpackError } from "../src/accel/x86/error-transport.ts";
import type { ExitTarget } from "../src/accel/x86/exits.ts";
import { Letters } from "../src/accel/x86/letters.ts";
import { runEnd } from "../src/accel/x86/run-end.ts";
import {
  CPU_ENDED,
  CPUS_MAX,
  type Letter,
  MEMORY_ACCESS,
  PORT_ACCESS,
  SharedState,
} from "../src/accel/x86/shared-state.ts";
import { ThreadTimers } from "../src/accel/x86/timers.ts";
import { VmmError } from "../src/errors.ts";
import { property } from "./property.ts";

const word = fc.nat(0xffff_ffff);
const letterOf = fc.record({
  kind: fc.constantFrom(PORT_ACCESS, MEMORY_ACCESS) as fc.Arbitrary<0 | 1>,
  write: fc.boolean(),
  width: fc.constantFrom(1, 2, 4, 8) as fc.Arbitrary<1 | 2 | 4 | 8>,
  address: fc.oneof(
    fc.nat(0xffff),
    word,
    fc.nat(2 ** 20).map((page) => page * 2 ** 32 + 0xfff),
    fc.constant(2 ** 52 - 1),
  ),
  lo: word,
  hi: word,
});
const empty = (): Letter => ({ kind: PORT_ACCESS, write: false, width: 1, address: 0, lo: 0, hi: 0 });

describe("pc threads: shared state", () => {
  property(
    "a letter arrives as it was written, and its answer goes back",
    [letterOf, fc.nat(CPUS_MAX - 1), word, word],
    (letter, cpu, lo, hi) => {
      const writer = new SharedState(CPUS_MAX);
      const reader = new SharedState(writer.buffer);
      writer.post(cpu, letter);
      expect(reader.takePosted()).toBe(2 ** cpu);
      expect(reader.takePosted()).toBe(0);
      const read = empty();
      reader.read(cpu, read);
      expect(read).toEqual(letter);
      reader.answer(cpu, lo, hi);
      const answer = { ...letter };
      expect(writer.awaitAnswer(cpu, answer)).toBe(true);
      expect(answer).toEqual({ ...letter, lo, hi });
    },
  );

  it("boxes of CPUs are apart, and a letter that comes while others are answered is found later", () => {
    const shared = new SharedState(3);
    shared.post(0, { ...empty(), lo: 10 });
    shared.post(2, { ...empty(), lo: 12 });
    expect(shared.takePosted()).toBe(0b101);
    shared.post(1, { ...empty(), lo: 11 });
    shared.answer(0, 100, 0);
    shared.answer(2, 102, 0);
    expect(shared.takePosted()).toBe(0b010);
    shared.answer(1, 101, 0);
    const answers = [0, 1, 2].map((cpu) => {
      const letter = empty();
      return shared.awaitAnswer(cpu, letter) && letter.lo;
    });
    expect(answers).toEqual([100, 101, 102]);
  });

  it("tells descriptors, of which 0 is one", () => {
    const shared = new SharedState(2);
    expect([shared.descriptor(0), shared.descriptor(1)]).toEqual([-1, -1]);
    shared.setDescriptor(1, 0);
    expect([shared.descriptor(0), shared.waitForDescriptor(1)]).toEqual([-1, 0]);
    expect(new SharedState(shared.buffer).descriptor(1)).toBe(0);
    shared.runPageBytes = 12288;
    shared.setThread(1, 4711);
    expect([shared.runPageBytes, shared.thread(0), shared.thread(1), shared.cpus]).toEqual([12288, 0, 4711, 2]);
  });

  it("a stop ends every wait, and keeps newcomers away from descriptors", () => {
    const shared = new SharedState(3);
    shared.setDescriptor(2, 9);
    expect(shared.enter()).toBe(true);
    shared.post(0, empty());
    shared.stop();
    expect(shared.stopping).toBe(true);
    expect(shared.awaitAnswer(0, empty())).toBe(false);
    // An answer that was on its way changes nothing.
    shared.answer(0, 1, 1);
    expect(shared.awaitAnswer(0, empty())).toBe(false);
    shared.post(1, empty());
    expect(shared.awaitAnswer(1, empty())).toBe(false);
    expect([shared.waitForDescriptor(1), shared.waitForDescriptor(2)]).toEqual([-1, -1]);
    expect(shared.enter()).toBe(false);
    shared.leave();
    // Would wait for ever if one were counted too many.
    shared.awaitAllLeft();
  });
});

describe("pc threads: two of them", () => {
  it("a CPU goes on when it is answered, and ends when the VM stops", async () => {
    const shared = new SharedState(2);
    const LETTERS = 500;
    const writer = new Worker(new URL("./pc-letter-writer.mjs", import.meta.url), {
      workerData: { buffer: shared.buffer, letters: LETTERS },
      execArgv: [],
    });
    const ended = new Promise<number>((resolve, reject) => {
      writer.on("exit", resolve);
      writer.on("error", reject);
    });
    let gone = false;
    writer.on("exit", () => {
      gone = true;
    });
    const letters = new Letters(shared, new NotedTarget());
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    while (shared.thread(1) === 0 && !gone) await turn();
    shared.setDescriptor(1, 7);
    let end: RunEnd | undefined;
    while (end === undefined && !gone) {
      await turn();
      end = letters.answerAll();
    }
    expect(end).toEqual({ reason: "reset" });
    // It has sent one more letter by now, or will: nobody answers that.
    shared.stop();
    shared.awaitAllLeft();
    expect(await ended).toBe((((LETTERS * (LETTERS - 1)) / 2) * 3) % 251);
  });
});

/** Answers reads with what was asked, and keeps a list of everything. */
class NotedTarget implements ExitTarget {
  cpu = 0;
  readonly noted: string[] = [];
  readPort(port: number, width: number): number {
    this.noted.push(`cpu ${this.cpu} in ${port} ${width}`);
    return (port * 3) >>> 0;
  }
  writePort(port: number, width: number, value: number): void {
    this.noted.push(`cpu ${this.cpu} out ${port} ${width} ${value}`);
  }
  readMemory(address: number, width: number, out: Uint32Array): void {
    this.noted.push(`cpu ${this.cpu} read ${address} ${width}`);
    out[0] = 0x1111;
    out[1] = width === 8 ? 0x2222 : 0;
  }
  writeMemory(address: number, width: number, lo: number, hi: number): void {
    this.noted.push(`cpu ${this.cpu} write ${address} ${width} ${lo} ${hi}`);
  }
}

describe("pc threads: letters", () => {
  const post = (shared: SharedState, cpu: number, letter: Partial<Letter>): void =>
    shared.post(cpu, { ...empty(), ...letter });
  function answerOf(shared: SharedState, cpu: number): [number, number] {
    const letter = empty();
    expect(shared.awaitAnswer(cpu, letter)).toBe(true);
    return [letter.lo, letter.hi];
  }

  it("carries out each CPU's access on its behalf, and answers it", () => {
    const shared = new SharedState(5);
    const target = new NotedTarget();
    const letters = new Letters(shared, target);
    expect(letters.answerAll()).toBeUndefined();
    post(shared, 4, { kind: MEMORY_ACCESS, width: 8, address: 2 ** 40 });
    post(shared, 1, { width: 2, address: 0xcfc });
    post(shared, 2, { write: true, width: 4, address: 0xcf8, lo: 0x8000_0000 });
    post(shared, 3, { kind: MEMORY_ACCESS, write: true, width: 8, address: 0xe000_0000, lo: 1, hi: 2 });
    expect(letters.answerAll()).toBeUndefined();
    expect(target.noted).toEqual([
      "cpu 1 in 3324 2",
      "cpu 2 out 3320 4 2147483648",
      "cpu 3 write 3758096384 8 1 2",
      "cpu 4 read 1099511627776 8",
    ]);
    expect(target.cpu).toBe(0);
    expect([answerOf(shared, 1)[0], answerOf(shared, 4)]).toEqual([9972, [0x1111, 0x2222]]);
    for (const cpu of [2, 3]) answerOf(shared, cpu);
  });

  it("a CPU that cannot go on ends the run, and the others are answered all the same", () => {
    const shared = new SharedState(CPUS_MAX);
    const letters = new Letters(shared, new NotedTarget());
    post(shared, 31, { kind: CPU_ENDED, lo: KVM_EXIT_SHUTDOWN });
    post(shared, 30, { width: 1, address: 0x60 });
    post(shared, 1, { kind: CPU_ENDED, lo: -EFAULT >>> 0 });
    expect(letters.answerAll()).toEqual({ reason: "reset" });
    for (const cpu of [1, 30, 31]) answerOf(shared, cpu);
    post(shared, 1, { kind: CPU_ENDED, lo: -EFAULT >>> 0 });
    expect(letters.answerAll()).toEqual({ reason: "halt", message: expect.stringMatching(/^CPU 1: .*switched off/) });
  });

  it.each([
    [KVM_EXIT_SHUTDOWN, 0, { reason: "reset" }],
    [KVM_EXIT_SYSTEM_EVENT, 1, { reason: "power-off" }],
    [KVM_EXIT_SYSTEM_EVENT, 2, { reason: "reset" }],
    [KVM_EXIT_SYSTEM_EVENT, 3, /reports a crash \(system event 3\)$/],
    [KVM_EXIT_INTERNAL_ERROR, 1, /cannot carry out an instruction/],
    [KVM_EXIT_INTERNAL_ERROR, 99, /internal error 99$/],
    [KVM_EXIT_FAIL_ENTRY, 0x8000_0021, /refuses to enter the guest \(reason 0x80000021\)$/],
    [-EFAULT, 0, /no memory behind an address/],
    [-EINVAL, 0, /KVM_RUN was refused with EINVAL$/],
    [77, 0, /for reason 77/],
  ] as const)("exit reason %s with detail %s", (reason, detail, expected) => {
    const end = runEnd(2, reason, detail, 0x10_0000n);
    if (!(expected instanceof RegExp)) {
      expect(end).toEqual(expected);
      return;
    }
    expect(end).toEqual({ reason: "halt", message: expect.stringMatching(expected) });
    expect(end).toEqual({ reason: "halt", message: expect.stringMatching(/^CPU 2 at instruction 0x100000: /) });
  });
});

describe("pc threads: timers", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  /** The thread that wakes: one wake-up at a time, the earliest. */
  function woken() {
    let wake: { at: number; timer: ReturnType<typeof setTimeout> } | undefined;
    const timers = new ThreadTimers((ms) => {
      const at = performance.now() + ms;
      if (wake !== undefined && wake.at <= at) return;
      clearTimeout(wake?.timer);
      const timer = setTimeout(() => {
        wake = undefined;
        timers.look();
      }, ms);
      wake = { at, timer };
    });
    return timers;
  }

  property(
    "each runs once, when it is due and in that order, unless it was cancelled",
    [fc.array(fc.tuple(fc.nat(50), fc.boolean(), fc.nat(20)), { maxLength: 20 })],
    (plan) => {
      const timers = woken();
      const ran: [index: number, at: number][] = [];
      const expected: [index: number, at: number][] = [];
      const start = performance.now();
      for (const [index, [ms, cancel, pause]] of plan.entries()) {
        const due = performance.now() + ms;
        const timer = timers.after(ms, () => ran.push([index, performance.now()]));
        if (cancel) timer.cancel();
        else expected.push([index, due]);
        vi.advanceTimersByTime(pause);
        timers.look();
      }
      vi.advanceTimersByTime(100);
      expect(performance.now() - start).toBeGreaterThanOrEqual(100);
      expected.sort((a, b) => a[1] - b[1] || a[0] - b[0]);
      expect(ran).toEqual(expected);
    },
  );

  it("asks for the rest when it was woken early", () => {
    const asked: number[] = [];
    const timers = new ThreadTimers((ms) => asked.push(ms));
    let ran = 0;
    timers.after(10, () => ran++);
    vi.advanceTimersByTime(4);
    timers.look();
    expect([ran, ...asked]).toEqual([0, 10, 6]);
    vi.advanceTimersByTime(6);
    timers.look();
    timers.look();
    expect([ran, ...asked]).toEqual([1, 10, 6]);
  });

  it("one that is set again while it runs waits for the next look, however late it is", () => {
    const asked: number[] = [];
    const timers = new ThreadTimers((ms) => asked.push(ms));
    let ran = 0;
    // Takes 3 ms of every one.
    const frame = (): void => {
      ran++;
      vi.advanceTimersByTime(3);
      timers.after(1, frame);
      timers.after(-5, () => ran++);
    };
    timers.after(1, frame);
    vi.advanceTimersByTime(1);
    timers.look();
    expect(ran).toBe(1);
    expect(asked.at(-1)).toBe(0);
    vi.advanceTimersByTime(1);
    timers.look();
    expect(ran).toBe(3);
  });

  it("one may cancel another that is due with it", () => {
    const timers = new ThreadTimers(() => undefined);
    const ran: string[] = [];
    timers.after(1, () => {
      ran.push("first");
      second.cancel();
    });
    const second = timers.after(1, () => ran.push("second"));
    timers.after(1, () => ran.push("third"));
    vi.advanceTimersByTime(1);
    timers.look();
    expect(ran).toEqual(["first", "third"]);
  });
});

describe("pc threads: errors", () => {
  const cross = (error: unknown): Error => unpackError(structuredClone(packError(error)));

  it("keep class, code, number, facts, remedy and causes", () => {
    const cause = new KvmError("KVM_CREATE_VM: EBUSY", { code: "KVM_IOCTL", errno: 16, details: { fd: 3n } });
    const error = new VmmError("no", { code: "USAGE_ACCEL", errno: 2, details: { a: [1] }, hint: "do", cause });
    const there = cross(error);
    expect(there).toBeInstanceOf(MinivmmError);
    expect(there).toMatchObject({ name: "VmmError", message: "no", code: "USAGE_ACCEL", errno: 2, hint: "do" });
    expect((there as MinivmmError).details).toEqual({ a: [1] });
    expect(there.stack).toBe(error.stack);
    expect(there.cause).toBeInstanceOf(MinivmmError);
    expect(there.cause).toMatchObject({ name: "KvmError", errno: 16, details: { fd: 3n } });
  });

  it("lose what cannot be sent, and nothing else", () => {
    const details = { fd: 3, host: { read: () => 0 }, holders: [{ pid: 1 }] };
    const there = cross(new VfioError("busy", { code: "GROUP_BUSY", details })) as MinivmmError;
    expect(there.details).toEqual({ fd: 3, holders: [{ pid: 1 }] });
    expect("errno" in there || "hint" in there).toBe(false);
  });

  it("that are no errors of ours stay what they are", () => {
    const there = cross(new TypeError("x is not a function", { cause: "why" }));
    expect(there).not.toBeInstanceOf(MinivmmError);
    expect(there).toMatchObject({ name: "TypeError", message: "x is not a function" });
    expect((there.cause as Error).message).toBe("why");
    expect(cross("text").message).toBe("text");
    expect(cross(undefined).message).toBe("undefined");
  });
});
