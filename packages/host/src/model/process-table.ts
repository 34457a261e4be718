// The processes of a modelled kernel by pid. Invariant: a pid is never given out twice; a process that has ended is gone.

/** Below are the kernel's own threads and what starts with the machine. */
const FIRST = 300;

export class ProcessTable<P extends { readonly pid: number }> {
  readonly #processes = new Map<number, P>();
  #next = FIRST;

  /** The pid of a new process. */
  add(process: P): number {
    const pid = this.#next++;
    this.#processes.set(pid, process);
    return pid;
  }

  remove({ pid }: P): void {
    this.#processes.delete(pid);
  }

  get(pid: number): P | undefined {
    return this.#processes.get(pid);
  }

  /** Ascending. */
  pids(): number[] {
    return [...this.#processes.keys()];
  }
}
