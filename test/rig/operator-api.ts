// What an operator sends to a controller, with its token.

import { request } from 'undici';

export type Answered = { readonly status: number; readonly json: unknown };

export async function post(to: { readonly api: string; readonly token: string }, path: '/v1/switchover' | '/v1/failover', body: object): Promise<Answered> {
  const reply = await request(`${to.api}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${to.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: reply.statusCode, json: await reply.body.json() };
}
