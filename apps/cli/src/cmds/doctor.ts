// `minivmm doctor`: is this host ready to give devices to a VM, and what to do where it is not. Nothing is changed.
import type { Host } from "@minivmm/host";
import { EXIT_FAILURE, EXIT_OK } from "../errors.ts";
import { examineHost } from "../host/checks/index.ts";
import { openHost } from "../host/open.ts";
import { type CliIo, outStyle } from "../io.ts";
import type { DoctorRequest } from "../options/doctor-request.ts";
import { doctorJson, renderDoctor } from "../render/doctor.ts";

/** 0 when no check fails, else 1. Throws CliError NO_DEVICE. */
export async function doctor(request: DoctorRequest, io: CliIo): Promise<number> {
  using opened = await openHost(request.host);
  return doctorOn(opened.host, opened.title, request, io);
}

/** The same on a host that is open already. */
export function doctorOn(host: Host, title: string, request: DoctorRequest, io: CliIo): number {
  const results = examineHost(host, request.memoryBytes, request.device);
  const text = request.json
    ? `${JSON.stringify(doctorJson(host, request, results), null, 2)}\n`
    : renderDoctor(title, results, outStyle(io));
  io.stdout.write(text);
  return results.some(({ status }) => status === "FAIL") ? EXIT_FAILURE : EXIT_OK;
}
