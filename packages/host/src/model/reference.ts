// A counted reference as areas and descriptor tables hold it, whatever it refers to.

export interface Reference {
  get(): this;
  put(): void;
}
