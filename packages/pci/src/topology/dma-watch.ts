// Who wants to know what functions read and write in memory, request by request: a checker of drivers, for example. Without one
// nothing is made for it.

/** A memory request of a function, as it reaches its IOMMU. */
export interface DmaRequest {
  /** `0000:01:00.0` */
  readonly function: string;
  readonly hi: number;
  readonly lo: number;
  /** Bytes. */
  readonly length: number;
  /** To memory. */
  readonly write: boolean;
  /** It says No Snoop, and the IOMMU does not enforce snooping. */
  readonly noSnoop: boolean;
}

/** Neither method may make requests, nor throw. */
export interface DmaWatch {
  before(request: DmaRequest): void;
  /** `done`: the IOMMU let all of it through; else memory was reached up to the page that it refused, if at all. */
  after(request: DmaRequest, done: boolean): void;
}
