// The face of @minivmm/conformance: recordings, machines, replay.

export { ConformanceError } from "./error.ts";
export type {
  Actor,
  CaseNeeds,
  Job,
  Machine,
  RecordedDevice,
  RecordedMachine,
  Stage,
  Touch,
  Touched,
} from "./machine.ts";
export { type ModelMachineOptions, modelMachine } from "./machines/model.ts";
export { type RealMachineOptions, realMachine } from "./machines/real.ts";
export { parseCases, type Recorded, recordCases } from "./record.ts";
export { loadRecording, parseRecording, type RecordedCase, type Recording, shippedRecordings } from "./recording.ts";
export { playCase, type ReplayOptions, replayRecording } from "./replay.ts";
export type { CaseResult, Difference, ReplayReport } from "./result.ts";
