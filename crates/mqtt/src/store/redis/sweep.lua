-- Renews a lease, detaches the sessions of dead replicas, deletes expired sessions and messages, and finds wills that are
-- due and orphaned messages of shared subscriptions.
-- ARGV: replica, now, lease in milliseconds, at most
local me, now, lease, most = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
-- How many shared messages one sweep lets go before it leaves other sessions to the next: nothing else runs meanwhile, and leases
-- go on.
local LET_GO_MAX = 10000
if redis.call('SISMEMBER', P .. 'replicas', me) == 0 then return { FENCED } end
redis.call('SET', P .. 'lease:' .. me, 1, 'PX', lease)
for _, replica in ipairs(redis.call('SMEMBERS', P .. 'replicas')) do
  if redis.call('EXISTS', P .. 'lease:' .. replica) == 0 then
    for _, client in ipairs(redis.call('SRANDMEMBER', P .. 'own:' .. replica, most)) do
      if let_go >= LET_GO_MAX then break end
      local s = session_fields(P .. 's:' .. client, 'epoch', 'owner', 'lasting', 'expiry', 'seq')
      if s[2] == replica then
        -- The dead replica has not reported what it sent: all may have been sent.
        if s[5] then redis.call('HSET', P .. 's:' .. client, 'sent', s[5]) end
        local rest = -1
        if s[3] == '1' then rest = now + tonumber(s[4]) * 1000 end
        detach(client, s[1], replica, rest, now, '')
      else
        redis.call('SREM', P .. 'own:' .. replica, client)
      end
    end
    if redis.call('EXISTS', P .. 'own:' .. replica) == 0 then
      redis.call('SREM', P .. 'replicas', replica)
      redis.call('HDEL', P .. 'seen', replica)
      redis.call('DEL', P .. 'in:' .. replica, P .. 'inb:' .. replica)
    end
  end
end
for _, client in ipairs(redis.call('ZRANGEBYSCORE', P .. 'exp', '-inf', now, 'LIMIT', 0, most)) do
  if let_go >= LET_GO_MAX then break end
  local owner = session_fields(P .. 's:' .. client, 'owner')[1]
  if owner and owner ~= '' then
    redis.call('ZREM', P .. 'exp', client)
  elseif session_call('ZCARD', P .. 'k:' .. client) > LET_GO_MAX and not has_share(client) then
    -- A long queue goes in parts: a client that comes back finds that the session has ended.
    redis.call('HSET', P .. 's:' .. client, 'ending', 1)
    release_bodies(client, '-inf', '+inf', LET_GO_MAX)
  else
    -- Without its fields, which were damaged, the rest of it goes as well.
    delete_session(client, '')
  end
end
local expired = 0
for _, client in ipairs(redis.call('ZRANGEBYSCORE', P .. 'qexp', '-inf', now, 'LIMIT', 0, 20)) do
  expired = expired + remove_expired(client, now)
end
for _, topic in ipairs(redis.call('ZRANGEBYSCORE', P .. 'retx', '-inf', now, 'LIMIT', 0, most)) do
  redis.call('DECRBY', P .. 'retb', redis.call('HSTRLEN', P .. 'ret', topic))
  expired = expired + redis.call('HDEL', P .. 'ret', topic)
  redis.call('ZREM', P .. 'retx', topic)
end
local due = {}
for _, client in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', now, 'LIMIT', 0, most)) do
  local epoch, _, message = stored_will(client)
  if epoch then
    due[#due + 1] = client
    due[#due + 1] = epoch
    due[#due + 1] = message
  else
    redis.call('ZREM', P .. 'due', client)
  end
end
return { DONE, due, redis.call('XRANGE', P .. 'left', '-', '+', 'COUNT', most), expired, broken }
