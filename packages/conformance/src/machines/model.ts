// The modelled machine: for each case a new modelled host, like the one that the case was recorded on, with its kernel.
// Invariants: nothing survives a case; time stands still but for what a case waits.

import { O_RDWR } from "@minivmm/host";
import { ManualClock } from "@minivmm/host/model";
import { type HostDescription, type ModelHostOptions, type ModelledHost, modelHost } from "@minivmm/model-host";
import type { CaseNeeds, Machine, RecordedMachine, Stage } from "../machine.ts";
import { ModelActor } from "./model-actor.ts";
import { hostOf } from "./recorded-hosts.ts";

/** Options of each host; kernel and page size are by default those of the recording. */
export interface ModelMachineOptions extends Omit<ModelHostOptions, "clock"> {
  /** Default: what is nearest to the machine of the recording. */
  readonly host?: string | HostDescription;
}

/** A machine whose hosts are modelled. */
export function modelMachine(options: ModelMachineOptions = {}): Machine {
  return new ModelMachine(options);
}

class ModelMachine implements Machine {
  readonly name: string;
  readonly #options: ModelMachineOptions;

  constructor(options: ModelMachineOptions) {
    const { host, profile } = options;
    const given = typeof host === "string" ? host : host?.name;
    this.name = `modelled ${given ?? "machine of the recording"}${profile ? `, Linux ${profile}` : ""}`;
    this.#options = options;
  }

  enter(recorded: RecordedMachine, needs: CaseNeeds): Stage {
    const { host = hostOf(recorded), ...options } = this.#options;
    const clock = new ManualClock();
    const { pageSize } = recorded;
    const model = modelHost(host, { profile: profileOf(recorded), pageSize, ...options, clock });
    return new ModelStage(model, clock, needs);
  }
}

class ModelStage implements Stage {
  readonly actor: ModelActor;
  readonly #host: ModelledHost;
  readonly #clock: ManualClock;

  constructor(host: ModelledHost, clock: ManualClock, { capabilities }: CaseNeeds) {
    this.#host = host;
    this.#clock = clock;
    const process = host.spawn({ capabilities, nofile: 1024 });
    // Standard input, output and errors.
    for (let fd = 0; fd < 3; fd++) process.open("/dev/null", O_RDWR);
    this.actor = new ModelActor(process);
  }

  wait(ms: number): void {
    this.#clock.advance(ms);
  }

  close(): void {
    this.#host.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function profileOf({ release }: RecordedMachine): "6.12" | "6.1" {
  return release.startsWith("6.1.") ? "6.1" : "6.12";
}
