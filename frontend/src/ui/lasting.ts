/** A value that has to last before it is believed: keeps bands from flashing. */
import { useEffect, useState } from 'react';

/** True once `value` has been true for so long without a break; false at once. */
export function useLasting(value: boolean, ms: number): boolean {
  const [lasted, setLasted] = useState(false);
  useEffect(() => {
    if (!value) return setLasted(false);
    const timer = setTimeout(() => setLasted(true), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return value && lasted;
}
