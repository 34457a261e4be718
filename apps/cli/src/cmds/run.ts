// `minivmm run`: from a typed request to an exit status. Files are read and checked first, then the host is opened,
// then the machine runs; what was opened is closed in reverse order however the run ends.
import type { Host } from "@minivmm/host";
import { type ConsoleBackend, createVm, type Vm, type VmConfig, type VmExit } from "@minivmm/vmm";
import { watchSignals } from "../console/signals.ts";
import { TerminalConsole } from "../console/terminal.ts";
import { CliError, EXIT_OK } from "../errors.ts";
import { openHost } from "../host/open.ts";
import { closeDevices, deviceConfigs } from "../host/plug.ts";
import { readInitrd } from "../image/initrd.ts";
import { checkKernelFile } from "../image/kernel.ts";
import { type CliIo, errStyle } from "../io.ts";
import type { RunRequest } from "../options/run-options.ts";
import { writeSummary } from "../render/summary-file.ts";

/** Runs a VM to its end. Resolves with the exit status; throws MinivmmError for what prevents or breaks the run. */
export async function run(request: RunRequest, io: CliIo): Promise<number> {
  checkKernelFile(request.kernel);
  const initrd = request.initrd === undefined ? undefined : readInitrd(request.initrd);
  using opened = openHost(request.host);
  const session = new RunSession(request, initrd, io);
  try {
    const exit = await session.run(opened.host);
    if (exit.reason === "halt") throw cpuHalted(exit);
    return session.signalStatus ?? EXIT_OK;
  } finally {
    session.close();
  }
}

function cpuHalted(exit: VmExit): CliError {
  return new CliError(`the virtual CPU stopped: ${exit.message ?? "it cannot go on"}`, {
    code: "CPU_HALTED",
    hint: "the guest ran into something that this CPU does not do; --summary - shows how far it came",
  });
}

/** The machines of one run (one, or several when the guest restarts itself), and the terminal they share. */
class RunSession {
  private readonly request: RunRequest;
  private readonly initrd: Uint8Array | undefined;
  private readonly io: CliIo;
  private readonly signals = watchSignals(() => this.leave());
  private terminal: TerminalConsole | undefined;
  private vm: Vm | undefined;
  private leaving = false;

  constructor(request: RunRequest, initrd: Uint8Array | undefined, io: CliIo) {
    this.request = request;
    this.initrd = initrd;
    this.io = io;
  }

  get signalStatus(): number | undefined {
    return this.signals.status;
  }

  async run(host: Host): Promise<VmExit> {
    for (;;) {
      const vm = await this.start(host);
      const exit = await vm.run();
      if (exit.reason === "reset" && this.request.reboot && !this.leaving) {
        vm.close();
        continue;
      }
      const { summary, name } = this.request;
      const named = { ...(name === undefined ? {} : { name }), ...vm.summary() };
      if (summary !== undefined) writeSummary(summary, named, this.io.stderr, errStyle(this.io));
      return exit;
    }
  }

  close(): void {
    this.vm?.close();
    this.terminal?.close();
    this.signals.close();
  }

  private leave(): void {
    this.leaving = true;
    this.vm?.stop();
  }

  /** A machine that is ready to run. The terminal is taken only once nothing can be refused any more. */
  private async start(host: Host): Promise<Vm> {
    const devices = deviceConfigs(this.request.devices);
    const console: ConsoleBackend = {
      write: (bytes) => this.terminal?.write(bytes),
      onInput: (deliver) => {
        this.deliver = deliver;
      },
    };
    try {
      this.vm = await createVm(host, { ...this.machineConfig(), devices, console });
    } catch (error) {
      closeDevices(devices);
      throw error;
    }
    if (this.leaving) this.vm.stop();
    if (this.request.console === "stdio") this.takeTerminal();
    return this.vm;
  }

  private deliver: (bytes: Uint8Array) => void = () => {};

  private takeTerminal(): void {
    this.terminal ??= new TerminalConsole({
      input: this.io.stdin,
      output: this.io.stdout,
      messages: this.io.stderr,
      onInput: (bytes) => this.deliver(bytes),
      onQuit: () => this.leave(),
    });
  }

  private machineConfig(): Omit<VmConfig, "devices" | "console"> {
    const { machine, kernel, append } = this.request;
    return {
      ...machine,
      kernel: { path: kernel },
      append,
      ...(this.initrd === undefined ? {} : { initrd: this.initrd }),
    };
  }
}
