-- What several scripts need; stands in front of each of them.
-- Keys: s:{client} session, q:{client} its queue, r: received (QoS 2 out), i: packet ids (QoS 2 in), sub: subscriptions,
-- own:{replica} sessions held, in:{replica} inbox, inb: its bytes, lease:{replica}; chg the changes, ver their number,
-- ids all sessions with subscriptions, ret retained, will and due, exp; run the server's run that was met last, gen how
-- many there were.
local P = 'wm2:'

local function change(...)
  local version = redis.call('INCR', P .. 'ver')
  redis.call('XADD', P .. 'chg', 'MAXLEN', '~', 100000, version .. '-0', ...)
  return version
end

-- Whether there is room in the inbox of a replica, which is known to listen.
local function has_room(replica, entries, bytes)
  return redis.call('XLEN', P .. 'in:' .. replica) < entries
    and tonumber(redis.call('GET', P .. 'inb:' .. replica) or '0') < bytes
end

-- Says something to a replica. What it says is counted by its bytes; the reader takes them away again.
local function tell(replica, bytes, ...)
  redis.call('XADD', P .. 'in:' .. replica, '*', ...)
  redis.call('INCRBY', P .. 'inb:' .. replica, bytes)
end

-- Whether this replica holds the session under this epoch. (After a failover that forgot some, an epoch may come again,
-- but not to the same replica without its older connection having ended.)
local function held(me, client, epoch)
  local s = redis.call('HMGET', P .. 's:' .. client, 'epoch', 'owner')
  return s[1] == epoch and s[2] == me
end

-- How often the server has begun anew, or another has taken its place.
local function generation()
  return redis.call('GET', P .. 'gen') or '0'
end

-- What a member of a shared subscription has not acknowledged is left to the others: at QoS 2 only what was never sent.
local function leave(client)
  local shares = false
  for _, filter in ipairs(redis.call('HKEYS', P .. 'sub:' .. client)) do
    if string.sub(filter, 1, 7) == '$share/' then shares = true end
  end
  if not shares then return end
  local sent = tonumber(redis.call('HGET', P .. 's:' .. client, 'sent') or '0')
  for _, entry in ipairs(redis.call('XRANGE', P .. 'q:' .. client, '-', '+')) do
    local message, how = entry[2][2], entry[2][4]
    local qos, is_shared = string.byte(how, 3), (string.byte(how, 4) or 0) % 4 >= 2
    local number = tonumber(string.match(entry[1], '^%d+'))
    if is_shared and (qos == 1 or number > sent) then redis.call('XADD', P .. 'left', '*', 'm', message, 'h', how) end
  end
end

local function forget(client, origin)
  leave(client)
  redis.call('DEL', P .. 's:' .. client, P .. 'q:' .. client, P .. 'r:' .. client, P .. 'i:' .. client, P .. 'sub:' .. client)
  redis.call('ZREM', P .. 'exp', client)
  if redis.call('SREM', P .. 'ids', client) == 1 then
    return change('t', 'g', 'c', client, 'o', origin)
  end
end

-- epoch:delay:message
local function testament(client)
  local will = redis.call('HGET', P .. 'will', client)
  if not will then return nil end
  local epoch, delay, at = string.match(will, '^(%d+):(%d+):()')
  if not epoch then return nil end
  return epoch, tonumber(delay), string.sub(will, at)
end

local function detach(client, epoch, owner, rest_until, base, origin)
  redis.call('SREM', P .. 'own:' .. owner, client)
  local ends = nil
  if rest_until == -1 then
    forget(client, origin)
    ends = base
  else
    redis.call('HSET', P .. 's:' .. client, 'owner', '', 'lasting', 1)
    redis.call('ZADD', P .. 'exp', rest_until, client)
    if redis.call('SISMEMBER', P .. 'ids', client) == 1 then
      change('t', 'm', 'c', client, 'w', '', 'l', 1, 'o', origin)
    end
    ends = rest_until
  end
  local will_epoch, delay = testament(client)
  if will_epoch == epoch then
    if base == -1 then
      redis.call('HDEL', P .. 'will', client)
      redis.call('ZREM', P .. 'due', client)
    else
      local due = base + delay * 1000
      if ends < due then due = ends end
      redis.call('ZADD', P .. 'due', due, client)
    end
  end
end
