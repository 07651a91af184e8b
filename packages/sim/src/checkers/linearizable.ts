// Is there an order of the register's commands, each taking effect at one moment between its sending and its answer, that explains
// every answer? A small search in the manner of Wing and Gong, over histories that are cut short: its cost grows exponentially
// with what overlaps. It knows only what a register is, not how the lease decides.

export type RegisterCall = {
  readonly invokedMs: number;
  /** Null: no answer came; it may have taken effect, or not, at any later moment. */
  readonly returnedMs: number | null;
  readonly kind: 'acquire' | 'renew' | 'transfer' | 'release' | 'read';
  readonly region: string;
  /** The epoch that the caller named: seen for `acquire`, held for the others. */
  readonly epochNamed: number;
  readonly ok: boolean;
  /** The epoch and the holder in the answer. */
  readonly epochAfter: number;
  readonly holderAfter: string | null;
  /** `transfer`: to whom. */
  readonly to: string | null;
};

type Register = { readonly epoch: number; readonly holder: string | null };

const STATES_MAX = 3_000;

/** True when an order exists; null when the search was given up. */
export function isLinearizable(calls: readonly RegisterCall[], start: Register): boolean | null {
  const sorted = [...calls].sort((a, b) => a.invokedMs - b.invokedMs);
  const done = sorted.map(() => false);
  const seen = new Set<string>();
  const search = (register: Register): boolean | null => {
    // Whoever was answered first must take effect before anything that was sent later.
    const firstReturnMs = earliestReturn(sorted, done);
    if (firstReturnMs === Infinity) return true;
    const key = `${register.epoch}/${register.holder}/${bits(done)}`;
    if (seen.has(key)) return false;
    if (seen.add(key).size > STATES_MAX) return null;
    for (let index = 0; index < sorted.length; index++) {
      const call = sorted[index] as RegisterCall;
      if (call.invokedMs > firstReturnMs) break;
      const after = done[index] === true ? null : take(register, call);
      if (after === null) continue;
      done[index] = true;
      const result = search(after);
      if (result !== false) return result;
      done[index] = false;
    }
    return false;
  };
  return search(start);
}

/** When the first of the calls that are left was answered; infinity when none of them was. */
function earliestReturn(sorted: readonly RegisterCall[], done: readonly boolean[]): number {
  let least = Infinity;
  for (let index = 0; index < sorted.length; index++) {
    const { returnedMs } = sorted[index] as RegisterCall;
    if (done[index] !== true && returnedMs !== null && returnedMs < least) least = returnedMs;
  }
  return least;
}

/** Which calls are done: all before the first number, and from there to the last one that is, call by call. */
function bits(done: readonly boolean[]): string {
  const first = done.indexOf(false);
  const last = done.lastIndexOf(true);
  let text = `${first}/`;
  for (let index = first; index <= last; index++) text += done[index] === true ? '1' : '0';
  return text;
}

/** The register after this call, or null when its answer could not have been given in this state. Time may always have run out. */
function take(register: Register, call: RegisterCall): Register | null {
  if (call.kind === 'read' || (call.returnedMs !== null && !call.ok)) return agrees(register, call) ? register : null;
  const after = effect(register, call);
  if (call.returnedMs === null) return after ?? register;
  return after !== null && agrees(after, call) ? after : null;
}

function effect(register: Register, call: RegisterCall): Register | null {
  const isHolder = register.holder === call.region && register.epoch === call.epochNamed;
  switch (call.kind) {
    case 'acquire':
      return register.epoch === call.epochNamed ? { epoch: register.epoch + 1, holder: call.region } : null;
    case 'transfer':
      return isHolder ? { epoch: register.epoch + 1, holder: call.to } : null;
    case 'release':
      return isHolder ? { epoch: register.epoch, holder: null } : null;
    default:
      return isHolder ? register : null;
  }
}

function agrees(register: Register, call: RegisterCall): boolean {
  return register.epoch === call.epochAfter && register.holder === call.holderAfter;
}
