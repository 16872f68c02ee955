-- The sessions of clients: each with its owner, whether the store keeps messages for it, and its subscriptions.
-- ARGV: clients
local found = {}
for n, client in ipairs(ARGV) do
  found[n] = { session_fields(P .. 's:' .. client, 'owner', 'lasting'), session_call('HGETALL', P .. 'sub:' .. client) }
end
return found
