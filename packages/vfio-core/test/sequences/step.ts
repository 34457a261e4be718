// A command of a random sequence. It holds small numbers only; which process, descriptor or mapping they mean is looked up
// in the reference when it runs, so that a shrunk sequence still means something. Then both kernels answer the same call,
// and all invariants are checked.
import fc from "fast-check";
import { agree } from "./agree.ts";
import type { Calls } from "./calls.ts";
import type { PlainKernel } from "./plain-kernel.ts";
import type { Behind } from "./plain-objects.ts";

/** The modelled side of a property: `C` are the calls that it answers. */
export interface Real<C extends Calls = Calls> {
  readonly kernel: C;
  readonly invariants: { check(): void };
}

export type Command<C extends Calls = Calls> = fc.Command<PlainKernel & C, Real<C>>;
type CallOf<C> = { [K in keyof C]: C[K] extends (...args: infer A) => number ? readonly [K, ...A] : never }[keyof C];
/** Calls with their arguments, in order; null when there is nothing to call it on. */
type Resolve<C extends Calls, P> = (plain: PlainKernel & C, params: P) => readonly CallOf<C>[] | null;

export const pick: fc.Arbitrary<number> = fc.nat(10_000);
export const nothing: fc.Arbitrary<number> = fc.constant(0);

/** What is wanted more often is there more often. */
export function times<T>(count: number, each: T): T[] {
  return new Array<T>(count).fill(each);
}

class Step<C extends Calls, P> implements fc.Command<PlainKernel & C, Real<C>> {
  readonly #name: string;
  readonly #params: P;
  readonly #resolve: Resolve<C, P>;
  #made: string[] = [];

  constructor(name: string, params: P, resolve: Resolve<C, P>) {
    this.#name = name;
    this.#params = params;
    this.#resolve = resolve;
  }

  check(plain: Readonly<PlainKernel & C>): boolean {
    return this.#resolve(plain as PlainKernel & C, this.#params) !== null;
  }

  run(plain: PlainKernel & C, { kernel, invariants }: Real<C>): void {
    this.#made = [];
    // Descriptors of a call are those that the calls before it made.
    for (let at = 0; ; at++) {
      const call = this.#resolve(plain, this.#params)?.[at];
      if (!call) return;
      const [name, ...args] = call;
      const invoke = (side: C) => (side[name] as (...args: unknown[]) => number)(...args);
      const text = `${String(name)}(${JSON.stringify(args).slice(1, -1)})`;
      this.#made.push(text);
      const wanted = invoke(plain);
      agree(text, invoke(kernel), wanted);
      invariants.check();
      // A flow ends where it is refused.
      if (wanted < 0) return;
    }
  }

  toString(): string {
    return this.#made.length > 0 ? this.#made.join("; ") : `${this.#name}(${JSON.stringify(this.#params)})`;
  }
}

export function step<P, C extends Calls = Calls>(
  name: string,
  params: fc.Arbitrary<P>,
  resolve: Resolve<C, P>,
): fc.Arbitrary<Command<C>> {
  return params.map((each) => new Step<C, P>(name, each, resolve));
}

/** The `n`th living process. */
export function processAt(plain: PlainKernel, n: number): number {
  const alive = plain.processes.flatMap((each, p) => (each.alive ? [p] : []));
  return alive[n % alive.length] ?? 0;
}

export type Fits = (behind: Behind) => boolean;
export const isContainer: Fits = ({ kind }) => kind === "container";
export const isReady: Fits = (each) => each.kind === "container" && each.container.type !== 0;
export const isGroup: Fits = ({ kind }) => kind === "group";
export const isDevice: Fits = ({ kind }) => kind === "device";
export const isEvent: Fits = ({ kind }) => kind === "eventfd";
export const isAny: Fits = () => true;

export type Place = readonly [p: number, fd: number];

/** A descriptor that fits, in whatever process; any other one, or a closed one, now and then. Null when there is none. */
export function descriptor(plain: PlainKernel, fits: Fits, n: number): Place | null {
  if (n % 31 === 0) return [processAt(plain, n), n % 2 === 0 ? -1 : 23];
  const wanted = n % 17 === 0 ? isAny : fits;
  const all = plain.processes.flatMap(({ fds, alive }, p) =>
    alive ? [...fds].flatMap(([fd, { behind }]): Place[] => (wanted(behind) ? [[p, fd]] : [])) : [],
  );
  return all[n % (all.length || 1)] ?? null;
}

/** Of one process; -1 when it has none. */
export function descriptorOf(plain: PlainKernel, p: number, fits: Fits, n: number): number {
  const fds = [...(plain.processes[p]?.fds ?? [])];
  const fitting = n % 11 === 0 ? fds : fds.filter(([, { behind }]) => fits(behind));
  return n % 23 === 0 ? -1 : (fitting[n % (fitting.length || 1)]?.[0] ?? -1);
}

/** Calls of one kind of descriptor. */
export function on<P, C extends Calls = Calls>(
  name: string,
  fits: Fits,
  params: fc.Arbitrary<P>,
  resolve: (plain: PlainKernel & C, place: Place, params: P, n: number) => CallOf<C> | null,
): fc.Arbitrary<Command<C>> {
  return step<readonly [number, P], C>(name, fc.tuple(pick, params), (plain, [n, rest]) => {
    const place = descriptor(plain, fits, n);
    const call = place && resolve(plain, place, rest, n);
    return call && [call];
  });
}

export function behindOf(plain: PlainKernel, [p, fd]: Place): Behind | undefined {
  return plain.processes[p]?.fds.get(fd)?.behind;
}
