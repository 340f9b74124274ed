/** User tokens as the platform's own back end makes them. */

import { createHmac } from "node:crypto";

export const SECRET = "a secret of the suites, of more than 32 bytes";

export interface TokenOptions {
  readonly admin?: boolean;
  /** Seconds from now. */
  readonly ttl?: number;
  readonly secret?: string;
}

export function mint(user: string, { admin = false, ttl = 3_600, secret = SECRET }: TokenOptions = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: user, user_id: user, iat: now - 60, exp: now + ttl, ...(admin ? { role: "admin" } : {}) };
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}
