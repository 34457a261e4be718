// `minivmm run`: from a typed request to an exit status. The machine is made on its host and runs when the files for it have
// been read and checked; what was opened is closed in reverse order however the run ends. Only the machine that was asked
// for is loaded, and what shows the summary after the run.
import type { CoherencyReport, ConsoleBackend, Vm, VmExit, VmSummary } from "@minivmm/vmm";
import { watchSignals } from "../console/signals.ts";
import { TerminalConsole } from "../console/terminal.ts";
import { CliError, EXIT_OK, renderError } from "../errors.ts";
import { checkKernelFile } from "../image/kernel.ts";
import { type CliIo, errStyle } from "../io.ts";
import type { Launcher } from "../launcher.ts";
import { KERNELS, type RunRequest } from "../options/run-options.ts";

/** Runs a VM to its end. Resolves with the exit status; throws MinivmmError for what prevents or breaks the run. */
export async function run(request: RunRequest, io: CliIo): Promise<number> {
  const { machine } = request;
  checkKernelFile(request.kernel, KERNELS[machine.machine]);
  const { initrd: file } = request;
  const initrd = file === undefined ? undefined : openInitrd(file);
  using launcher =
    machine.machine === "pc"
      ? (await import("../pc/launcher.ts")).pcLauncher(machine, request, initrd, io.started)
      : await (await import("../pseries/launcher.ts")).pseriesLauncher(machine, request, initrd);
  return await runWith(launcher, request, io);
}

/** Whoever needs it waits for it, and hears of what is wrong with it. */
function openInitrd(file: string): Promise<Uint8Array> {
  const initrd = import("../image/initrd.ts").then(({ readInitrd }) => readInitrd(file));
  initrd.catch(() => undefined);
  return initrd;
}

/** The run itself, with machines from `launcher`, which stays open. */
export async function runWith(launcher: Launcher, request: RunRequest, io: CliIo): Promise<number> {
  const session = new RunSession(launcher, request, io);
  try {
    const exit = await session.run();
    if (exit.reason === "halt") throw halted(request, exit);
    return session.signalStatus ?? EXIT_OK;
  } finally {
    session.close();
  }
}

function halted({ machine }: RunRequest, { message = "it cannot go on" }: VmExit): CliError {
  const far = "--summary - shows how far it came";
  if (machine.machine === "pc") {
    return new CliError(`the virtual machine stopped: ${message}`, { code: "CPU_HALTED", hint: far });
  }
  return new CliError(`the virtual CPU stopped: ${message}`, {
    code: "CPU_HALTED",
    hint: `the guest ran into something that this CPU does not do; ${far}`,
  });
}

/** The machines of one run (one, or several when the guest restarts itself), and the terminal they share. */
class RunSession {
  private readonly launcher: Launcher;
  private readonly request: RunRequest;
  private readonly io: CliIo;
  private readonly signals = watchSignals(
    () => this.leave(),
    () => this.tellAttributes(),
  );
  private terminal: TerminalConsole | undefined;
  private vm: Vm<VmSummary> | undefined;
  private leaving = false;
  /** Reports that are on their way, one after the other. */
  private telling: Promise<void> = Promise.resolve();

  constructor(launcher: Launcher, request: RunRequest, io: CliIo) {
    this.launcher = launcher;
    this.request = request;
    this.io = io;
  }

  get signalStatus(): number | undefined {
    return this.signals.status;
  }

  async run(): Promise<VmExit> {
    for (;;) {
      const vm = await this.start();
      const exit = await vm.run();
      await this.telling;
      if (exit.reason === "reset" && this.request.reboot && !this.leaving) {
        vm.close();
        continue;
      }
      await this.tell(vm);
      return exit;
    }
  }

  /** The guest goes on meanwhile. A VM that has ended has nothing to tell, and says so. */
  private tellAttributes(): void {
    const { vm, request, io } = this;
    if (vm === undefined) return;
    const report = async (): Promise<string> => {
      try {
        const { runningReport } = await import("../describe/running-report.ts");
        return await runningReport(vm, request.host, errStyle(io));
      } catch (error) {
        return renderError(error);
      }
    };
    this.telling = this.telling.then(report).then((text) => this.say(text));
  }

  /** A line for each mistake, in the order in which they were found. */
  private found(report: CoherencyReport): void {
    this.telling = this.telling.then(async () => {
      const { coherencyLine } = await import("../render/coherency.ts");
      this.say(`minivmm: iommu check: ${coherencyLine(report)}\n`);
    });
  }

  private say(text: string): void {
    if (this.terminal === undefined) this.io.stderr.write(text);
    else this.terminal.tell(text);
  }

  private async tell(vm: Vm<VmSummary>): Promise<void> {
    const { summary, name } = this.request;
    if (summary === undefined) return;
    const { writeSummary } = await import("../render/summary-file.ts");
    const named = { ...(name === undefined ? {} : { name }), ...vm.summary() };
    writeSummary(summary, named, this.io.stderr, errStyle(this.io));
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
  private async start(): Promise<Vm<VmSummary>> {
    const console: ConsoleBackend = {
      write: (bytes) => this.terminal?.write(bytes),
      onInput: (deliver) => {
        this.deliver = deliver;
      },
    };
    const vm = await this.launcher.launch(console, (report) => this.found(report));
    this.vm = vm;
    if (this.leaving) vm.stop();
    if (this.request.console === "stdio") this.takeTerminal();
    return vm;
  }

  private deliver: (bytes: Uint8Array) => void = () => {};

  private takeTerminal(): void {
    this.terminal ??= new TerminalConsole({
      input: this.io.stdin,
      output: this.io.stdout,
      messages: this.io.stderr,
      onInput: (bytes) => this.deliver(bytes),
      onQuit: () => this.leave(),
      onAttributes: () => this.tellAttributes(),
    });
  }
}
