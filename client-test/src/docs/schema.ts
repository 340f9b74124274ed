/** Reads the schemas of `asyncapi.json`: their fields, the names of their types, and examples. */

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly example?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly minimum?: number;
}

/** A field of an object, or of an object in it. */
export interface Field {
  readonly name: string;
  readonly depth: number;
  readonly isRequired: boolean;
  readonly schema: Schema;
}

/** Objects within objects are shown to this depth. */
const DEEPEST = 3;
/** The time in examples. */
const TIME = "2026-01-15T10:30:00.000Z";

let whole: unknown;

/** Follows a reference, and merges the parts of an object. */
export function resolved(schema: Schema): Schema {
  if (schema.$ref !== undefined) {
    const path = schema.$ref.slice(2).split("/");
    const found = path.reduce((at, key) => (at as Record<string, unknown>)[key], whole) as Schema;
    return { ...resolved(found), ...(schema.description === undefined ? {} : { description: schema.description }) };
  }
  if (schema.allOf === undefined) return schema;
  const { allOf, ...rest } = schema;
  return [...allOf.map(resolved), rest].reduce((merged, part) => ({
    ...merged,
    ...part,
    properties: { ...merged.properties, ...part.properties },
    required: [...(merged.required ?? []), ...(part.required ?? [])],
  }));
}
/** The document that references are in. */
resolved.in = (document: unknown): void => {
  whole = document;
};

/** The object in a schema: itself, an entry of its list, or the one that may be null. */
function inner(schema: Schema): Schema {
  const found = resolved(schema);
  if (found.items !== undefined) return inner(found.items);
  if (typeof found.additionalProperties === "object") return inner(found.additionalProperties);
  const variants = (found.oneOf ?? []).filter((variant) => variant.type !== "null");
  return variants.length === 1 ? inner(variants[0]!) : found;
}

/** The fields of an object, with those of the objects in it behind their field. */
export function fieldsOf(schema: Schema, depth = 0): Field[] {
  const { properties = {}, required = [] } = depth === 0 ? resolved(schema) : inner(schema);
  return Object.entries(properties).flatMap(([name, of]) => [
    { name, depth, isRequired: required.includes(name), schema: { ...of, description: resolved(of).description ?? "" } },
    ...(depth < DEEPEST ? fieldsOf(of, depth + 1) : []),
  ]);
}

/** The type for people: `number | null`, `"buy" | "sell"`, `Signal`. */
export function typeOf(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const found = resolved(schema);
    return found.enum === undefined && found.properties !== undefined ? schema.$ref.split("/").pop()! : typeOf(found);
  }
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.oneOf !== undefined) return [...new Set(schema.oneOf.map(typeOf))].join(" | ");
  if (schema.allOf !== undefined) return "object";
  const kinds = typeof schema.type === "string" ? [schema.type] : (schema.type ?? []);
  const named = kinds.map((kind) => {
    if (kind === "array") return `list of ${typeOf(schema.items ?? {})}`;
    if (kind === "object" && typeof schema.additionalProperties === "object") return `object of ${typeOf(schema.additionalProperties)}`;
    return kind === "string" && schema.format === "date-time" ? "time" : kind;
  });
  return named.join(" | ") || "any";
}

/** A value that fits the schema, with its required fields. */
export function example(schema: Schema): unknown {
  const found = resolved(schema);
  if (found.example !== undefined) return found.example;
  if (found.enum !== undefined) return found.enum[0];
  if (found.oneOf !== undefined) return example(found.oneOf.find((variant) => variant.type !== "null") ?? {});
  const kind = typeof found.type === "string" ? found.type : found.type?.[0];
  switch (found.properties !== undefined ? "object" : kind) {
    case "array":
      return [example(found.items ?? {})];
    case "object": {
      const required = Object.entries(found.properties ?? {}).filter(([name]) => found.required?.includes(name));
      return Object.fromEntries(required.map(([name, of]) => [name, example(of)]));
    }
    case "string":
      return found.format === "date-time" ? TIME : "…";
    case "number":
    case "integer":
      return found.minimum ?? 0;
    case "boolean":
      return false;
    default:
      return null;
  }
}
