// A vCPU that runs in a worker thread of its own, and can be kicked out of KVM_RUN from here.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { realHost } from "@minivmm/host";
import { type KvmVcpu, RunPageAlias } from "../../src/index.ts";
import type { X86Guest } from "./x86-guest.ts";

const host = realHost();

export interface Runner {
  readonly thread: number;
  readonly alias: RunPageAlias;
  /** Starts KVM_RUN; what it gives, once it does. */
  run(): Promise<unknown>;
  end(): Promise<unknown>;
}

export async function runVcpu(guest: X86Guest, { fd, id }: KvmVcpu): Promise<Runner> {
  const workerData = { fd, id, runPageBytes: guest.system.vcpuMmapSize() };
  const worker = new Worker(new URL("run-vcpu.mjs", import.meta.url), { workerData, execArgv: [] });
  const [thread] = (await once(worker, "message")) as [number];
  const alias = new RunPageAlias(host, fd);
  return {
    thread,
    alias,
    run: async () => {
      const result = once(worker, "message");
      worker.postMessage("run");
      return (await result)[0];
    },
    end: () => {
      alias.close();
      return worker.terminate();
    },
  };
}

/** 0 or -errno of the signal. */
export function kick({ alias, thread }: Runner): number {
  alias.immediateExit = true;
  return host.threads?.interrupt(thread) ?? -1;
}

/** Waits until the thread sleeps in the kernel. */
export async function asleep({ thread }: Runner): Promise<void> {
  while (!/\) S /.test(readFileSync(`/proc/self/task/${thread}/stat`, "utf8"))) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
