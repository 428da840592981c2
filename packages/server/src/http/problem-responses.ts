import { ProblemSchema } from '@pennon/protocol/management/common';

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: ProblemSchema } },
});

/** The refusals that every management operation may answer, for its `schema.response`. */
export const PROBLEMS = {
  400: problem('The request is not valid; `errors` names each fault.'),
  401: problem('No valid credential was presented.'),
  403: problem('The credential may not do this.'),
  404: problem('It does not exist, or not within the reach of the credential.'),
  409: problem('It conflicts with what is there.'),
  410: problem('It is over and will not come back.'),
  412: problem('It was changed in the meantime; both sides are in the body.'),
  413: problem('The body is too large.'),
  415: problem('The media type of the body is not accepted.'),
  422: problem('It was understood and cannot be done.'),
  428: problem('`If-Match` is required to change what exists.'),
  429: problem('Too many requests.'),
  500: problem('The server failed to answer.'),
  503: problem('The store cannot be reached at the moment.'),
} as const;
