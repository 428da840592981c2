import type { OepFault } from './schemas.js';

export function toOepFault(key: string | null, errorCode: string, errorDetails: string): OepFault {
  return { ...(key === null ? {} : { key }), errorCode, errorDetails, metadata: {} };
}
