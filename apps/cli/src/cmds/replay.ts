// `minivmm replay`: recorded answers of real kernels against a host, and what differs.
// Exit status 1 when something differs, so that a script can tell; files that are no recordings are a mistake (2).
import { basename } from "node:path";
import {
  ConformanceError,
  loadRecording,
  type Machine,
  modelMachine,
  type Recording,
  type ReplayReport,
  realMachine,
  replayRecording,
  shippedRecordings,
} from "@minivmm/conformance";
import { EXIT_FAILURE, EXIT_OK, usageError } from "../errors.ts";
import { type CliIo, outStyle } from "../io.ts";
import type { HostRequest } from "../options/host.ts";
import { noProgress, type Progress, progressOn } from "../render/progress.ts";
import { renderReplay, renderTotals, totalsOf } from "../render/replay.ts";

export interface ReplayRequest {
  /** None: the recordings that come with minivmm. */
  readonly files: readonly string[];
  /** Absent: a modelled machine like that of each recording. */
  readonly host?: HostRequest;
  /** Only cases whose name begins with one of these; none: all. */
  readonly cases: readonly string[];
  readonly json: boolean;
}

export function replay(request: ReplayRequest, io: CliIo): number {
  const files = request.files.length > 0 ? request.files : shippedRecordings();
  const recordings = files.map(load);
  const machine = machineFor(request.host);
  const style = outStyle(io);
  const reports: ReplayReport[] = [];
  for (const recording of recordings) {
    const report = played(recording, machine, request.cases, io);
    reports.push(report);
    if (!request.json) io.stdout.write(renderReplay(report, style));
  }
  if (request.cases.length > 0 && reports.every(({ cases }) => cases.length === 0)) {
    throw usageError(
      `no case is called ${request.cases.join(" or ")}`,
      "replay without --case lists those that differ",
    );
  }
  const totals = totalsOf(reports);
  io.stdout.write(request.json ? `${JSON.stringify({ ...totals, reports }, null, 2)}\n` : renderTotals(totals, style));
  return totals.failed > 0 ? EXIT_FAILURE : EXIT_OK;
}

function load(file: string): Recording {
  try {
    return loadRecording(file);
  } catch (error) {
    if (!(error instanceof ConformanceError)) throw error;
    throw usageError(`replay: ${error.message}`, error.hint, error.details);
  }
}

function machineFor(host: HostRequest | undefined): Machine {
  if (host === undefined) return modelMachine();
  if (host.kind === "real") return realMachine();
  const { name, ...options } = host.spec;
  return modelMachine({ host: name, ...options });
}

function played(recording: Recording, machine: Machine, cases: readonly string[], io: CliIo): ReplayReport {
  const chosen = (name: string): boolean => cases.length === 0 || cases.some((each) => name.startsWith(each));
  const count = recording.cases.filter(({ name }) => chosen(name)).length;
  const progress: Progress = io.stderr.isTTY === true ? progressOn(io.stderr) : noProgress;
  let done = 0;
  progress.step(basename(recording.name));
  try {
    return replayRecording(recording, machine, {
      only: chosen,
      onCase: () => progress.update(++done / count),
    });
  } finally {
    progress.stop();
  }
}
