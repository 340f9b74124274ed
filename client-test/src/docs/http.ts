/** Shows the description of the HTTP interface. The addresses are relative, so that it also works below a path. */

declare const SwaggerUIBundle: (options: object) => unknown;

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // By default it asks a service on the Internet whether the document is valid.
  validatorUrl: null,
});
