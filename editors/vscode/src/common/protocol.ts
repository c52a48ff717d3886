// What the server adds to the protocol; docs/editors.md has the words.

export interface Patch {
  label: string;
  diff: string;
  /** The document that it changes, and the whole of its new text. */
  uri: string;
  newText: string;
  /** What it changes besides, in other files. */
  also?: { uri: string; newText: string }[];
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

export type State = "idle" | "testing" | "loading" | "repairing" | "failed";

export interface StatusParams {
  state: State;
  message: string;
  repair?: number;
  function?: string;
  turn?: number;
  queued?: number;
}

export interface ShownText {
  title: string;
  text: string;
}
