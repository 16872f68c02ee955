-- Makes a replica the holder of a session.
-- ARGV: replica, client, clean, expiry in seconds, now, will (delay:message) or nothing, whether it takes over
-- the user or nothing
-- Reply: as Rust reads it; FENCED if an older connection holds the session and has been told to end; SESSIONS_FULL; NOT_OWNER if it
-- belongs to another user
local me, client, clean, expiry, now, will = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local key = P .. 's:' .. client
local s = session_fields(key, 'epoch', 'owner', 'lasting', 'seq', 'sent', 'expiry', 'ending', 'by', 'user')
local there = s[1] and true or false
local is_held = there and s[2] and s[2] ~= ''
local user = ARGV[8]
-- Before there was the first field, lasting sessions had the second.
local by = s[8] or s[9]
if there and by and by ~= user then
  local is_dead = is_held and s[6] == '0' and redis.call('EXISTS', P .. 'lease:' .. s[2]) == 0
  local expires = tonumber(redis.call('ZSCORE', P .. 'exp', client) or '')
  if not is_dead and (is_held or not expires or expires > now) then return NOT_OWNER end
  clean = '1'
end
if is_held and redis.call('EXISTS', P .. 'lease:' .. s[2]) == 1 then
  redis.call('XADD', P .. 'in:' .. s[2], '*', 'k', 'k', 'c', client, 'e', s[1])
  if ARGV[7] ~= '1' then return FENCED end
end
if not there and expiry > 0 and (redis.call('ZCARD', P .. 'exp') >= LIMITS.sessions
  or (user ~= '' and redis.call('SCARD', P .. 'usr:' .. user) >= LIMITS.user_sessions)) then return SESSIONS_FULL end
if is_held then redis.call('SREM', P .. 'own:' .. s[2], client) end
local epoch = redis.call('INCR', P .. 'epoch')
local ends = there and (clean == '1' or s[3] ~= '1' or (is_held and s[6] == '0') or s[7] == '1')
local last_will = false
local will_epoch, delay, message = stored_will(client)
if will_epoch then
  local due = redis.call('ZSCORE', P .. 'due', client)
  local skew = delay == 0 and LIMITS.clock_skew_ms or 0
  if ends or (due and tonumber(due) <= now + skew) or (not due and delay == 0) then last_will = message end
  redis.call('HDEL', P .. 'will', client)
  redis.call('ZREM', P .. 'due', client)
end
if will ~= '' then redis.call('HSET', P .. 'will', client, epoch .. ':' .. will) end
local version = tonumber(redis.call('GET', P .. 'ver') or '0')
-- Without its session nothing of it is left, as after damage.
if not there and redis.call('EXISTS', P .. 'sub:' .. client, P .. 'q:' .. client, P .. 'k:' .. client, P .. 'r:' .. client, P .. 'i:' .. client) > 0 then
  version = delete_session(client, me) or version
end
if ends then
  -- An older connection has not reported what it sent: all may have been sent.
  if s[2] and s[2] ~= '' and s[4] then redis.call('HSET', key, 'sent', s[4]) end
  version = delete_session(client, me) or version
  there = false
end
redis.call('ZREM', P .. 'exp', client)
-- A session that is resumed has a queue, even if it ends with this connection.
local lasting = (expiry > 0 or there) and 1 or 0
redis.call('HSET', key, 'epoch', epoch, 'owner', me, 'lasting', lasting, 'expiry', expiry, 'gen', generation())
redis.call('HDEL', key, 'woken')
-- A session that was nobody's becomes that of the first user that resumes it.
if user ~= '' and not (there and by) then
  redis.call('HSET', key, 'by', user)
  if expiry > 0 and not there then
    redis.call('HSET', key, 'user', user)
    redis.call('SADD', P .. 'usr:' .. user, client)
  end
end
redis.call('SADD', P .. 'own:' .. me, client)
local subscriptions, received, inbound, last, sent = {}, {}, {}, 0, 0
if there then
  if redis.call('SISMEMBER', P .. 'ids', client) == 1 then
    version = record_change('t', 'm', 'c', client, 'w', me, 'l', lasting, 'o', me)
  end
  subscriptions = session_call('HGETALL', P .. 'sub:' .. client)
  received = session_call('SMEMBERS', P .. 'r:' .. client)
  inbound = session_call('HKEYS', P .. 'i:' .. client)
  last, sent = tonumber(s[4] or '0'), tonumber(s[5] or '0')
  -- An older connection has not reported what it sent: all may have been sent.
  if s[2] and s[2] ~= '' then
    sent = last
    redis.call('HSET', key, 'sent', sent)
  end
end
return { epoch, version, there and 1 or 0, last, sent, last_will or '', last_will and 1 or 0, subscriptions, received, inbound, broken }
