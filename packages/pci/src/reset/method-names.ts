// The ways of resetting one function, by the names that sysfs `reset_method` uses.

export type ResetMethod = "flr" | "af_flr" | "pm" | "bus";
