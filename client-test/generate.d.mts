/** Returns the text of `src/messages.ts`. */
export function generated(openapi: object, asyncapi: object): string;
