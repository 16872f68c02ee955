-- Releases what waits for a member of a shared subscription that is away, and was never sent, for all members.
-- ARGV: client, the filter of the shared subscription
local client, share = ARGV[1], ARGV[2]
local key, queue = P .. 's:' .. client, P .. 'q:' .. client
local s = session_fields(key, 'owner', 'sent', 'bytes', 'length')
if s[1] ~= '' then return { DONE } end
local from = '(' .. (s[2] or '0') .. '-18446744073709551615'
local gone, released = {}, 0
for _, entry in ipairs(session_call('XRANGE', queue, from, '+', 'COUNT', LIMITS.share_release)) do
  local message, how = entry[2][2], entry[2][4]
  -- Behind length, QoS and flags stands the share with its length.
  if string.byte(how, 4) % 4 >= 2 and struct.unpack('>I2', how, 5) == #share and string.sub(how, 7, 6 + #share) == share then
    redis.call('XADD', P .. 'left', '*', 'm', message, 'h', how)
    gone[#gone + 1], released = entry[1], released + #message
  end
end
if #gone > 0 then
  local bytes = tonumber(s[3] or '0')
  released = math.min(released, bytes)
  redis.call('XDEL', queue, unpack(gone))
  redis.call('HSET', key, 'bytes', bytes - released, 'length', math.max(tonumber(s[4] or '0') - #gone, 0))
  redis.call('DECRBY', P .. 'qb', released)
end
return { DONE }
