// What the server adds to the protocol; docs/editors.md has the words.

export interface Patch {
  label: string;
  diff: string;
  /** The document that it changes, and the whole of its new text. */
  uri: string;
  newText: string;
  /** What it changes besides, in other files. */
  also?: { uri: string; newText: string }[];
  /** What sets it apart from the others. */
  detail?: string;
}

export interface PreviewParams {
  repair: number;
  uri: string;
  version: number | null;
  function: string;
  message: string;
  patches: Patch[];
}

export interface PreviewResult {
  accept: number | null;
}

export type State = "idle" | "testing" | "loading" | "fetching" | "repairing" | "failed";

export interface StatusParams {
  state: State;
  message: string;
  /** The document whose tests it is about, and how many of them fail and pass. */
  uri?: string;
  failing?: number;
  passed?: number;
  repair?: number;
  function?: string;
  turn?: number;
  queued?: number;
  /** From 0 to 100: how much of its time a repair has used, or how much is fetched. */
  percentage?: number;
}

export interface ShownText {
  title: string;
  text: string;
}
